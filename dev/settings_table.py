"""Prints the table of all settings as docs/operations.md shows it: ``python -m dev.settings_table``.

Names, defaults and what is allowed come from `config.settings`; a test holds the page to this table.
"""

import sys
from collections.abc import Iterator
from typing import Any, Final

from pydantic_core import PydanticUndefined

from config.setting_errors import allowed
from config.setting_sources import variable
from config.settings import Settings

MEANING: Final = {
    "redis_url": "the Redis of the ledger, and of the broker; not set: an embedded one",
    "broker_url": "another broker, such as RabbitMQ; not set: the Redis of the ledger",
    "data_dir": "where the embedded Redis and the logs of `stepline run` live",
    "key_prefix": "what every key of the site in Redis begins with",
    "step_modules": "modules that define steps",
    "rules_file": "a rules file of your own; not set: `config/rules.toml`",
    "unknown_is_critical": "the class of a name that no rule knows",
    "critical_queue": "the queue of critical steps; its pool must be prefork",
    "parallel_queue": "the queue of non-critical steps",
    "queues": "the queues, each with its pool, concurrency, prefetch and routes",
    "default_lane": "the lane of critical steps that name none",
    "max_concurrency": "non-critical steps of one run that run at once",
    "parcel_size": "non-critical steps that a worker claims from one message at a time",
    "order": "whether the non-critical steps of a batch wait for its critical ones",
    "strategy": "after a failed critical step: `basic` skips those behind it, `simple` runs on",
    "step_timeout_s": "time-out of one attempt",
    "run_deadline_s": "time for a whole run",
    "retries": "attempts after the first",
    "critical_retries": "the same for critical steps that are not idempotent",
    "retry_delay_s": "the wait after the first failure",
    "retry_backoff": "how the waits grow",
    "retry_jitter": "whether an exponential wait is shortened at random",
    "retry_cap_s": "the longest wait between attempts",
    "queue_limit": "steps that may be pending on a queue; beyond, `QueueFull`",
    "inline_executions": "executions of the in-process engines at once in one process",
    "max_params_bytes": "size of one step's params, and of the context, as JSON",
    "max_value_bytes": "size of one step's value as JSON",
    "max_run_bytes": "size of a whole run as JSON",
    "max_steps": "steps of one batch",
    "max_depth": "nesting of params, context and values",
    "max_name_chars": "length of a step's name or id",
    "lane_hold_s": "a run that waits longer than this gives up its place in its lanes",
    "lease_s": "a worker that has not beaten for so long counts as dead",
    "heartbeat_s": "how often a worker beats; at most half a lease",
    "republish_s": "a message that was not claimed within this is looked for, and sent again if it is lost",
    "result_ttl_s": "how long a settled run is kept",
    "known_steps_ttl_s": "how long a step is known after a worker last listed it",
    "memory_share": "the part of Redis' `maxmemory` in use from which on new runs are refused: `StoreFull`",
    "connect_timeout_s": "for connecting to Redis or the broker",
    "socket_timeout_s": "for an answer of Redis or the broker",
    "publish_retries": "further tries to publish a message",
    "shutdown_s": "time for a worker to finish what it runs when it is told to stop",
    "zombie_limit": "zombies at which a worker is started again",
    "max_tasks_per_child": "parcels after which a prefork child is replaced",
    "max_memory_per_child_kib": "resident memory at which a prefork child is replaced",
    "restart_delay_s": "the first wait before a process that died is started again",
    "restart_delay_cap_s": "the longest such wait",
    "log_level": "of the workers",
    "log_format": "`json`: one object a line; `text`: for people",
    "flower_address": "where Flower listens; anywhere but on loopback it needs a password",
    "flower_port": "the port of Flower",
    "flower_basic_auth": "name and password for Flower",
    "flower_max_tasks": "steps that Flower remembers",
}
"""What each setting decides, in a few words."""

_SHOWN: Final[dict[str, str]] = {
    "data_dir": "`$XDG_STATE_HOME/stepline`",
    "queues": "`critical` (prefork, 1), `parallel` (threads, 20)",
}
"""Defaults that are not shown as they stand in the code."""


def settings_table() -> str:
    """Return the table in Markdown.

    Raises:
        KeyError: A setting has no meaning here.
    """
    return "\n".join(["| variable | default | decides | allowed |", "|---|---|---|---|", *_rows()]) + "\n"


def _rows() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        default = _SHOWN.get(name) or _shown(field.default)
        yield f"| `{variable(name)}` | {default} | {MEANING[name]} | {allowed(name, field)} |"


def _shown(value: Any) -> str:
    if value is None or value in ((), PydanticUndefined):
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else f"{value}"


if __name__ == "__main__":
    sys.stdout.write(settings_table())
