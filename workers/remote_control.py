"""What a worker tells remote controls of itself, and what it does not do for them."""

import re
from typing import Any, Final

from celery.worker.control import control_command, inspect_command

SETTLED_BY_SETTINGS: Final = (
    "add_consumer",
    "autoscale",
    "cancel_consumer",
    "pool_grow",
    "pool_restart",
    "pool_shrink",
    "rate_limit",
    "time_limit",
)
"""Commands that would undo what a queue's settings promise: a critical step on threads, more children than places."""

REFUSAL: Final = {
    "error": "queues, pools and time-outs are Stepline's settings: change them and start the worker again"
}

_CREDENTIALS: Final = re.compile(r"://[^/]*@")


def keep_to_settings() -> None:
    """Take over the commands of Celery's that do not fit, for this process's only worker."""
    for name in SETTLED_BY_SETTINGS:
        control_command(name=name)(lambda state, **_: REFUSAL)
    # Celery's own shows the URL of a broker behind a unix socket whole.
    inspect_command(name="stats")(lambda state, **_: masked(state.consumer.controller.stats()))


def masked(found: Any) -> Any:
    """Return the same with every URL's credentials masked."""
    if isinstance(found, dict):
        return {name: masked(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [masked(value) for value in found]
    return _CREDENTIALS.sub("://***@", found) if isinstance(found, str) else found
