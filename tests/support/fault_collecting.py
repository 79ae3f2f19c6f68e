"""Puts together what is known of one run: what the ledger has, its events, and what its callers were told."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from producer import Run
from producer.run_meta import RunMeta
from steps.errors import RunUnknown
from steps.ledger import Ledger
from steps.ledger.ledger import SLICE
from steps.outcome import Outcome, Settlement
from tests.support.fault_evidence import CallSent, OutcomeSeen, RunSeen, SettleSeen


@dataclass(frozen=True, slots=True)
class CallersSaw:
    """What the callers of a run saw; as in `RunSeen`."""

    gathered: tuple[tuple[OutcomeSeen, ...], ...]
    errors: tuple[str, ...]
    cancelled: tuple[tuple[str, float], ...]


def run_seen(run: Run, ledger: Ledger, events: Sequence[Mapping[str, str]], callers: CallersSaw) -> RunSeen:
    """Return the evidence of one run; the outcomes come from the ledger itself, past everything that gathers."""
    meta = run._meta
    outcomes, accepted_ms = _outcomes(ledger, run.id, meta)
    settles = [
        SettleSeen(meta.at(int(event["step"])).id, event["status"], int(event["fence"]))
        for event in events
        if event.get("status")
    ]
    return RunSeen(
        id=run.id,
        accepted=_began_ms(events) or accepted_ms,
        calls=tuple(CallSent(step.id, step.lane or "") for step in meta.steps),
        ledger=outcomes,
        settles=tuple(settles),
        gathered=callers.gathered,
        errors=callers.errors,
        cancelled=callers.cancelled,
        left_line=any(event["event"] == "step.parked" for event in events) or _lost_its_place_midway(events),
        places=_places(events, meta),
    )


def outcomes_seen(outcomes: Iterable[Outcome]) -> tuple[OutcomeSeen, ...]:
    """Return outcomes as evidence."""
    return tuple(_seen(outcome) for outcome in outcomes)


def _seen(outcome: Outcome) -> OutcomeSeen:
    value = outcome.value
    fence = value.get("fence") if isinstance(value, dict) else None
    return OutcomeSeen(outcome.id, outcome.status, outcome.attempts, fence)


def _outcomes(ledger: Ledger, run_id: str, meta: RunMeta) -> tuple[tuple[OutcomeSeen, ...] | None, float]:
    settlements: list[Settlement | None] = []
    accepted_ms = 0.0
    for first in range(0, max(len(meta.steps), 1), SLICE):
        try:
            record = ledger.read(run_id, first=first)
        except RunUnknown:
            return None, 0.0
        accepted_ms = record.created_ms
        settlements += [None if text is None else Settlement.decode(text) for text in record.outcomes]
    return outcomes_seen(meta.outcomes(settlements)), accepted_ms


def _began_ms(events: Sequence[Mapping[str, str]]) -> float:
    """Return when a run that waited for others took its place in line; 0 for one that did not wait."""
    if all(event["event"] != "run.waiting" for event in events):
        return 0.0
    return next((int(event["at"]) / 1000 for event in events if event["event"] == "run.started"), 0.0)


def _places(events: Sequence[Mapping[str, str]], meta: RunMeta) -> dict[str, float]:
    """Return from when the place in line is from which each step began, of those whose run had lost an earlier one.

    A paused run has left its lanes, unless it is resumed while a step of it holds one.
    """
    critical = {number for number in range(len(meta.steps)) if meta.at(number).lane}
    places: dict[str, float] = {}
    holding, place_ms = set[int](), 0.0
    for event in events:
        step = int(event.get("step", -1))
        if event["event"] == "run.resumed" and not holding:
            place_ms = int(event["at"]) / 1000
        elif event["event"] == "step.started" and step in critical:
            holding.add(step)
            if place_ms:
                places.setdefault(meta.at(step).id, place_ms)
        elif event.get("status"):
            holding.discard(step)
    return places


def _lost_its_place_midway(events: Sequence[Mapping[str, str]]) -> bool:
    """Whether a step was started before a pause and again after it: in the end it ran from another place."""
    started, before = set[str](), set[str]()
    for event in events:
        if event["event"] == "run.resumed":
            before |= started
        elif event["event"] == "step.started":
            if event["step"] in before:
                return True
            started.add(event["step"])
    return False
