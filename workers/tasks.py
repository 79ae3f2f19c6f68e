"""The thin Celery task: it hands a parcel to the pipeline of its process."""

import re
from collections.abc import Callable
from typing import Any, Final

from celery import Celery

from producer.publish import PARCEL_TASK

WorkOff = Callable[[str, int], None]

RUN_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")

MOST_PARCELS: Final = 1_000_000
"""More than any run has."""

_pipeline: WorkOff | None = None


def parcel_of(payload: Any) -> tuple[str, int] | None:
    """Return run id and number of the parcel that a message's body is about; None where it is about none.

    Args:
        payload: The decoded body: arguments, named arguments, and what Celery adds.
    """
    match payload:
        case [[str(run_id), int(number)], dict(named), _] if not named and not isinstance(number, bool):
            return (run_id, number) if RUN_ID.fullmatch(run_id) and 0 <= number < MOST_PARCELS else None
    return None


def set_pipeline(pipeline: WorkOff) -> None:
    """Say what works off the parcels that reach this process; set before the first message, anew in every child."""
    global _pipeline
    _pipeline = pipeline


def register(app: Celery) -> Any:
    """Register the parcel task with a worker's app and return it."""

    # No events of its own: the steps inside have theirs.
    @app.task(name=PARCEL_TASK, ignore_result=True, acks_late=True, send_events=False)
    def parcel(run_id: str, number: int) -> None:
        if _pipeline is None:
            raise RuntimeError("a parcel came before this process was ready; the ledger will have it sent again")
        _pipeline(run_id, number)

    return parcel
