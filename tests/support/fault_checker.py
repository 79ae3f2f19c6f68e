"""The invariants of everything that may be killed, checked on records: each violation is a sentence.

A  every accepted run settles exactly once        B  what was neither cancelled nor skipped has run, and only that
C  effects of one lane never overlap              D  a lane runs in the order in which its runs were accepted
E  gather returns every step, once, in input order
F  an effect is accepted once, starts are counted and bounded
G  no run that was acknowledged is gone           H  what a dead process ran is run again in time
"""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from tests.support.fault_evidence import Evidence, OutcomeSeen, RunSeen, shown
from tests.support.fault_journal import JournalLine

RAN_STATUSES = ("succeeded", "failed", "lost")
"""A step with one of these outcomes has begun at least once."""


def violations(evidence: Evidence) -> list[str]:
    """Return what breaks an invariant; nothing where all of them hold."""
    return [f"{name}: {sentence}" for name, check in CHECKS.items() for sentence in check(evidence)]


def settled_once(evidence: Evidence) -> Iterator[str]:
    """A."""
    for run in evidence.runs:
        if run.ledger is None:
            continue
        settled = {outcome.id for outcome in run.ledger}
        for call in run.calls:
            if call.id not in settled:
                lines = shown(evidence.began(run.id, call.id))
                yield f"run {run.id} step {call.id} has not settled; it began so: {lines or 'never'}"
        for step, count in Counter(settle.id for settle in run.settles).items():
            if count > 1:
                said = [(one.status, one.fence) for one in run.settles if one.id == step]
                yield f"run {run.id} step {step} has settled {count} times: {said}"
        yield from _settled_by_its_last_attempt(run)


def _settled_by_its_last_attempt(run: RunSeen) -> Iterator[str]:
    fences = {settle.id: settle.fence for settle in run.settles}
    for outcome in run.ledger or ():
        fence = fences.get(outcome.id)
        if outcome.fence is not None and fence is not None and outcome.fence != fence:
            yield (
                f"run {run.id} step {outcome.id} was settled by the attempt with fence {outcome.fence}, "
                f"while fence {fence} held the step"
            )


def ran_or_was_stopped(evidence: Evidence) -> Iterator[str]:
    """B."""
    for run in evidence.runs:
        for outcome in run.ledger or ():
            lines = evidence.began(run.id, outcome.id)
            if outcome.status in RAN_STATUSES and not lines:
                yield f"run {run.id} step {outcome.id} is {outcome.status} and never began"
            if outcome.status in ("cancelled", "skipped") and not outcome.attempts and lines:
                yield f"run {run.id} step {outcome.id} is {outcome.status} without an attempt and began: {shown(lines)}"
        for step, at_s in run.cancelled:
            late = [line for line in evidence.began(run.id, step) if line.start_s > at_s]
            if late:
                yield f"run {run.id} step {step} was cancelled at {at_s:.3f} and began later: {shown(late)}"


def never_overlapped(evidence: Evidence) -> Iterator[str]:
    """C."""
    lanes = _lanes(evidence)
    spans: dict[str, list[tuple[JournalLine, JournalLine]]] = {}
    for (run, step, _), lines in evidence.attempts.items():
        lane = lanes.get((run, step), "")
        if lane and lines[0].pid not in evidence.frozen:
            spans.setdefault(lane, []).append((lines[0], lines[-1]))
    for lane, found in spans.items():
        found.sort(key=lambda span: span[0].start_s)
        for (first, last), (second, _) in pairwise(found):
            if second.start_s < last.end_s:
                yield (
                    f"lane {lane}: run {second.run} step {second.step} began while run {first.run} step {first.step} "
                    f"still ran: {shown((first, last, second))}"
                )
    for lane in sorted(set(lanes.values()) - {""}):
        effects = [effect for effect in evidence.effects if lanes.get((effect.run, effect.step)) == lane]
        for earlier, later in pairwise(effects):
            if (later.run, later.step) != (earlier.run, earlier.step) and later.fence <= earlier.fence:
                yield (
                    f"lane {lane}: the effect of run {later.run} step {later.step} has fence {later.fence}, no more "
                    f"than fence {earlier.fence} of run {earlier.run} step {earlier.step} before it"
                )


def _lanes(evidence: Evidence) -> dict[tuple[str, str], str]:
    return {(run.id, call.id): call.lane for run in evidence.runs for call in run.calls}


def kept_order(evidence: Evidence) -> Iterator[str]:
    """D."""
    for lane, steps in _in_line(evidence).items():
        ahead: JournalLine | None = None
        for run_id, step in steps:
            began = [line for line in evidence.began(run_id, step) if line.pid not in evidence.frozen]
            if began and ahead is not None and began[0].start_s < ahead.start_s:
                yield (
                    f"lane {lane}: run {run_id} step {step} began before run {ahead.run} step {ahead.step}, "
                    f"which was in line before it: {shown((began[0], ahead))}"
                )
            ahead = max((*began, *([ahead] if ahead else [])), key=lambda line: line.start_s, default=None)


def _in_line(evidence: Evidence) -> dict[str, list[tuple[str, str]]]:
    """Return run and step of what is to run in each lane, in order: by place in line, then as in their runs."""
    lines: dict[str, list[tuple[float, tuple[str, str]]]] = {}
    for run in evidence.runs:
        for call in run.calls:
            if call.lane and not run.left_line:
                lines.setdefault(call.lane, []).append((run.place_of(call.id), (run.id, call.id)))
    return {lane: [who for _, who in sorted(line, key=lambda one: one[0])] for lane, line in lines.items()}


def gathered_all(evidence: Evidence) -> Iterator[str]:
    """E."""
    for run in evidence.runs:
        wanted = [call.id for call in run.calls]
        for outcomes in run.gathered:
            ids = [outcome.id for outcome in outcomes]
            if ids != wanted:
                yield f"run {run.id}: gather returned the steps {ids}, submitted were {wanted}"
            elif run.ledger is not None and len(run.ledger) == len(outcomes):
                yield from _told_as_it_is(run, outcomes, run.ledger)


def _told_as_it_is(run: RunSeen, outcomes: tuple[OutcomeSeen, ...], ledger: tuple[OutcomeSeen, ...]) -> Iterator[str]:
    for told, kept in zip(outcomes, ledger, strict=True):
        if told != kept:
            yield f"run {run.id} step {told.id}: gather told {told}, the ledger has {kept}"


def had_one_effect(evidence: Evidence) -> Iterator[str]:
    """F."""
    effects = Counter((effect.run, effect.step) for effect in evidence.effects)
    for (run_id, step), count in effects.items():
        if count > 1:
            yield f"run {run_id} step {step} has {count} accepted effects; began: {shown(evidence.began(run_id, step))}"
    for (run_id, step, fence), lines in evidence.attempts.items():
        if sum(line.what == "began" for line in lines) > 1:
            yield f"run {run_id} step {step} began more than once under fence {fence}: {shown(lines)}"
    for run in evidence.runs:
        for outcome in run.ledger or ():
            yield from _counted(evidence, run, outcome)


def _counted(evidence: Evidence, run: RunSeen, outcome: OutcomeSeen) -> Iterator[str]:
    began = evidence.began(run.id, outcome.id)
    if len(began) > outcome.attempts:
        yield f"run {run.id} step {outcome.id} began {len(began)} times and counts {outcome.attempts}: {shown(began)}"
    if len(began) > evidence.most_attempts:
        yield f"run {run.id} step {outcome.id} began {len(began)} times, more than {evidence.most_attempts}"


def kept_what_was_accepted(evidence: Evidence) -> Iterator[str]:
    """G."""
    for run in evidence.runs:
        if run.ledger is None:
            yield f"run {run.id} was acknowledged and is gone; its callers saw: {list(run.errors) or 'nothing'}"


def ran_again_in_time(evidence: Evidence) -> Iterator[str]:
    """H."""
    settles = {(run.id, settle.id): settle.fence for run in evidence.runs for settle in run.settles}
    for (run_id, step, fence), lines in evidence.attempts.items():
        death = next(
            (one for one in evidence.deaths if lines[-1].pid in one.pids and lines[0].start_s <= one.at_s), None
        )
        if death is None or settles.get((run_id, step)) == fence:
            continue
        later = [line for line in evidence.began(run_id, step) if line.fence > fence]
        if later and later[0].start_s <= death.at_s:
            continue
        again = [line for line in later if line.start_s > death.at_s]
        if not again and (run_id, step) not in settles:
            yield f"run {run_id} step {step} was never run again after the death at {death.at_s:.3f}: {shown(lines)}"
        elif again and again[0].start_s - death.at_s > death.within_s:
            took_s = again[0].start_s - death.at_s
            yield (
                f"run {run_id} step {step} ran again {took_s:.2f} s after the death at {death.at_s:.3f}, "
                f"allowed are {death.within_s:g} s: {shown((lines[-1], again[0]))}"
            )


CHECKS: dict[str, Callable[[Evidence], Iterator[str]]] = {
    "A": settled_once,
    "B": ran_or_was_stopped,
    "C": never_overlapped,
    "D": kept_order,
    "E": gathered_all,
    "F": had_one_effect,
    "G": kept_what_was_accepted,
    "H": ran_again_in_time,
}
