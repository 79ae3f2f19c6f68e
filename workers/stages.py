"""The stages of one claimed step, for every kind of worker: prepare, (run,) decide, and the fate the ledger is told."""

import logging
from dataclasses import dataclass
from typing import Final

from steps.attempt import Attempt, End, Overran, RetryLater, Settle, decide, prepare
from steps.call import StepCall
from steps.context import StepContext
from steps.ledger.records import Claimed, ClaimedStep, StepFate
from steps.outcome import OutcomeError, Settlement
from workers.fates import parked, tried_again
from workers.kit import Kit
from workers.run_in_hand import RunInHand

logger = logging.getLogger(__name__)

PARKED_S: Final = 2.0
"""How long a step that this worker does not know is left to others before it is published again, on average: with
always the same pause it could come back to the same worker every time, as those who wait take turns."""

KILLED_LATE_S: Final = 1.0
"""So long after its time-out, at latest, a step is killed that ignores it."""


@dataclass(slots=True, eq=False)
class StepInHand:
    """A claimed step on its way through the stages; ``fate`` is set as soon as it is decided.

    ``retried_for`` is why it is tried again, where it is: the fate itself does not say.
    """

    run: RunInHand
    claimed: ClaimedStep
    call: StepCall
    started_ms: float
    attempt: Attempt | None = None
    fate: StepFate | None = None
    retried_for: OutcomeError | None = None


def take_in_hand(kit: Kit, run: RunInHand, claimed: Claimed, step: ClaimedStep) -> StepInHand:
    """Prepare a claimed step; one that this worker does not know, or whose params don't fit, is decided here."""
    call = StepCall.decode(step.call)
    in_hand = StepInHand(run, step, call, claimed.now_ms)
    definition = kit.registry.find(call.name)
    if definition is None:
        logger.warning("this worker does not know step %s, leaving it to others", call.name, extra=facts(in_hand))
        pause_s = PARKED_S * kit.rng.uniform(0.5, 1.5)
        in_hand.fate = parked(step.index, step.fence, for_s=pause_s)
        return in_hand
    context = StepContext(
        run_id=run.run_id,
        step_id=call.id,
        context=run.context_for(step.index),
        results=run.results(claimed.settled_count) if definition.takes_context else {},
        strategy=run.meta.strategy,
        fence=step.fence,
        attempt=step.attempt,
        effect_key=run.run_id if run.is_body(step.index) else None,
    )
    timeout_s = call.timeout_s if claimed.remaining_s is None else min(call.timeout_s, claimed.remaining_s)
    prepared = prepare(definition, call, context=context, failures=step.failures, timeout_s=timeout_s)
    if isinstance(prepared, Settle):
        in_hand.fate = _settled(kit, in_hand, prepared)
    else:
        in_hand.attempt = prepared
    return in_hand


def fail(kit: Kit, run_id: str, step: ClaimedStep, error: BaseException) -> StepFate:
    """Settle a claimed step as failed by a fault of the worker itself, so that it holds up nothing."""
    logger.error("step %d of run %s failed by a fault of this worker", step.index, run_id, exc_info=error)
    message = f"the worker could not run it: {type(error).__name__}: {error}"
    settlement = Settlement(
        status="failed",
        error=OutcomeError("WorkerFault", message),
        attempts=step.attempt,
        worker=kit.worker_id,
    )
    return StepFate(step.index, step.fence, "S", settlement.status, settlement.encode())


def conclude(kit: Kit, in_hand: StepInHand, end: End, *, remaining_s: float | None) -> StepFate:
    """Decide what the end of an attempt means, and say so to the log where it did not succeed."""
    attempt = in_hand.attempt
    assert attempt is not None
    decision = decide(attempt, end, limits=kit.limits, rng=kit.rng, run_remaining_s=remaining_s)
    if isinstance(decision, RetryLater):
        message = "step %s failed, trying again in %.3f s: %s: %s"
        error = decision.error
        logger.info(message, in_hand.call.name, decision.delay_s, error.type, error.message, extra=facts(in_hand))
        in_hand.retried_for = error
        in_hand.fate = tried_again(in_hand.claimed.index, in_hand.claimed.fence, after_s=decision.delay_s)
    else:
        in_hand.fate = _settled(kit, in_hand, decision)
    return in_hand.fate


def retry_if_killed_s(kit: Kit, attempt: Attempt, *, run_remaining_s: float | None) -> float | None:
    """Return after how many seconds a step is tried again should it have to be killed; None where it is not."""
    if not attempt.definition.retry_on:
        return None
    left_s = None if run_remaining_s is None else run_remaining_s - attempt.timeout_s - KILLED_LATE_S
    decision = decide(attempt, Overran(), limits=kit.limits, rng=kit.rng, run_remaining_s=left_s)
    return decision.delay_s if isinstance(decision, RetryLater) else None


def _settled(kit: Kit, in_hand: StepInHand, decision: Settle) -> StepFate:
    step, attempt, error = in_hand.claimed, in_hand.attempt, decision.error
    if error is not None:
        message = "step %s settled %s: %s: %s"
        logger.warning(message, in_hand.call.name, decision.status, error.type, error.message, extra=facts(in_hand))
    settlement = Settlement(
        status=decision.status,
        value=decision.value,
        error=error,
        attempts=step.attempt,
        queued_ms=round(step.queued_ms, 3),
        ran_ms=0.0 if attempt is None else round(attempt.ran_ms, 3),
        worker=kit.worker_id,
        started_ms=in_hand.started_ms,
    )
    return StepFate(step.index, step.fence, "S", decision.status, settlement.encode())


def facts(in_hand: StepInHand) -> dict[str, object]:
    """Return what a log line says of a step: run, step and attempt."""
    return {"run": in_hand.run.run_id, "step": in_hand.call.id, "attempt": in_hand.claimed.attempt}
