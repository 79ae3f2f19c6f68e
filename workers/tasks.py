"""The thin Celery task: it hands a parcel to the pipeline of its process."""

from collections.abc import Callable
from typing import Any

from celery import Celery

from producer.publish import PARCEL_TASK

WorkOff = Callable[[str, int], None]

_pipeline: WorkOff | None = None


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
