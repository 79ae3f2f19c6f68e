"""The events of a run, as they are written down: from the first one there is, and on as long as it goes."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from producer.run_meta import RunMeta
from steps.errors import InvalidBatch
from steps.ledger import Ledger
from steps.ledger.ledger import SLICE
from steps.ledger.records import EventRecord
from steps.problem import Problem

FROM_THE_FIRST: Final = "0"

BEGINNINGS: Final = ("run.started", "run.waiting")
"""One of these is the first event of every run."""

GAP: Final = "gap"
"""Stands for events that were trimmed before they were read."""

HIGHEST_PART: Final = 2**64 - 1
"""Of the two numbers of an event's id."""

_EVENT_ID: Final = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")

LOOK_S: Final = 1.0
"""How long one wait for a new event lasts before the run is looked at again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a run.

    Args:
        id: Of the event; ``run.events(after=...)`` goes on behind it.
        event: ``run.waiting``, ``run.started``, ``run.paused``, ``run.resumed``, ``run.completed``, ``step.started``,
            ``step.retry``, ``step.parked``, ``step.held``, ``step.completed``, ``step.failed``, ``step.skipped``,
            ``step.cancelled``, or ``gap`` where older ones have been trimmed; a gap has the id of the last event
            before it.
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
        InvalidBatch: ``after`` is no id of an event.
        RunUnknown: While following: its results have expired.
        BrokerUnavailable: Redis does not answer.
    """
    before = _before(after)
    while True:
        records = ledger.events(run_id, before)
        yield from _news(records, after, meta)
        if records:
            after = records[-1].entry_id
            before = _before(after)
        if len(records) == SLICE:
            continue
        if not follow or _is_over(ledger, run_id, after):
            return
        ledger.wait_for_event(run_id, after, timeout_s=LOOK_S)


def _before(after: str) -> str:
    """Return the highest id below that of an event: what is read behind it opens with that event, if it is there.

    Raises:
        InvalidBatch: It is no id of an event.
    """
    if after == FROM_THE_FIRST:
        return after
    found = _EVENT_ID.fullmatch(after)
    if found is None or max(int(found[1]), int(found[2])) > HIGHEST_PART or not int(found[1]):
        raise InvalidBatch([Problem("after", f"must be the id of an event, or {FROM_THE_FIRST}, not {after!r}")])
    moment_ms, number = int(found[1]), int(found[2])
    return f"{moment_ms}-{number - 1}" if number else f"{moment_ms - 1}-{HIGHEST_PART}"


def _news(records: list[EventRecord], after: str, meta: RunMeta) -> Iterator[Event]:
    """Yield what was written down behind an event, first a gap where some of it may be lacking."""
    is_read = bool(records) and records[0].entry_id == after
    is_first = after == FROM_THE_FIRST and bool(records) and records[0].fields["event"] in BEGINNINGS
    if records and not is_read and not is_first:
        yield Event(id=after, event=GAP, at_ms=_at_ms(records[0]))
    for record in records[is_read:]:
        yield _event(record, meta)


def _is_over(ledger: Ledger, run_id: str, after: str) -> bool:
    """Whether the run has settled and nothing was written down behind the last event that was read."""
    return ledger.read(run_id, first=1, count=0).is_settled and not ledger.events(run_id, after, count=1)


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
