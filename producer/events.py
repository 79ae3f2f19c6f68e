"""The events of a run, as they are written down: from the first one there is, and on as long as it goes."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from producer.run_meta import RunMeta
from steps.ledger import Ledger
from steps.ledger.ledger import SLICE
from steps.ledger.records import EventRecord

COMPLETED: Final = "run.completed"
"""The last event of a run, but for those of its completion body."""

FROM_THE_FIRST: Final = "0"

GAP: Final = "gap"
"""Stands for events that were trimmed before they were read."""

LOOK_S: Final = 1.0
"""How long one wait for a new event lasts before the run is looked at again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a run.

    Args:
        id: Of the event; ``run.events(after=...)`` goes on behind it.
        event: ``run.waiting``, ``run.started``, ``run.completed``, ``step.started``, ``step.retry``, ``step.parked``,
            ``step.held``, ``step.completed``, ``step.failed``, ``step.skipped``, ``step.cancelled``, or ``gap`` where
            older ones have been trimmed.
        at_ms: When, in milliseconds since 1970.
        step: Id of the step; None where it is about the run.
        name: Name of the step.
        attempt: Which start of the step it was.
        worker: Who ran it.
        status: The outcome, where there is one.
    """

    id: str
    event: str
    at_ms: float
    step: str | None = None
    name: str | None = None
    attempt: int | None = None
    worker: str | None = None
    status: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as ``stepline events --json`` prints it."""
        return asdict(self)


def events_of(ledger: Ledger, run_id: str, meta: RunMeta, *, after: str, follow: bool) -> Iterator[Event]:
    """Yield the events of a run.

    Args:
        ledger: Where they are written down.
        run_id: The run.
        meta: Of the run.
        after: Id of an event; "0" for all there are.
        follow: Whether to wait for more until the run has settled.

    Raises:
        RunUnknown: While following: its results have expired.
        BrokerUnavailable: Redis does not answer.
    """
    if after == FROM_THE_FIRST and (gap := _gap_before(ledger, run_id)):
        yield gap
    while True:
        records = ledger.events(run_id, after)
        for record in records:
            after = record.entry_id
            yield _event(record, meta)
        if len(records) == SLICE:
            continue
        if not follow or _is_over(ledger, run_id, after):
            return
        ledger.wait_for_event(run_id, after, timeout_s=LOOK_S)


def _is_over(ledger: Ledger, run_id: str, after: str) -> bool:
    """Whether the run has settled and nothing was written down behind the last event that was read."""
    return ledger.read(run_id, first=1, count=0).is_settled and not ledger.events(run_id, after, count=1)


def _gap_before(ledger: Ledger, run_id: str) -> Event | None:
    first = ledger.events(run_id, FROM_THE_FIRST, count=1)
    if not first or first[0].fields["event"] in ("run.started", "run.waiting"):
        return None
    return Event(id=FROM_THE_FIRST, event=GAP, at_ms=_at_ms(first[0]))


def _event(record: EventRecord, meta: RunMeta) -> Event:
    fields = record.fields
    if "step" not in fields:
        return Event(id=record.entry_id, event=fields["event"], at_ms=_at_ms(record))
    step = meta.at(int(fields["step"]))
    return Event(
        id=record.entry_id,
        event=fields["event"],
        at_ms=_at_ms(record),
        step=step.id,
        name=step.name,
        attempt=int(fields["attempt"]),
        worker=fields["worker"] or None,
        status=fields.get("status"),
    )


def _at_ms(record: EventRecord) -> float:
    return int(record.fields["at"]) / 1000
