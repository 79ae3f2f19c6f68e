"""One attempt of a step: what it needs, how it can end, and what follows; all of it without side effects."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from steps.call import StepCall
from steps.context import StepContext
from steps.definition import StepDefinition
from steps.errors import Retry, StepTimeout
from steps.failure import error_of, error_of_problems
from steps.json_value import check_json
from steps.outcome import OutcomeError, Status
from steps.signature import CONTEXT_PARAMETER


@dataclass(slots=True, eq=False)
class Attempt:
    """One start of a step, ready to run; an attempt is run once.

    Args:
        definition: Its code.
        call: What was asked for.
        context: The ``ctx`` of this attempt.
        arguments: What its code is called with.
        timeout_s: How long it may run, in seconds; less than the call's where the run's deadline is nearer.
        failures: How often the step has failed before.
        started: When it began, on the clock of ``time.monotonic``.
        ended: When its end was seen, on the same clock.
    """

    definition: StepDefinition
    call: StepCall
    context: StepContext
    arguments: dict[str, Any] = field(repr=False)
    timeout_s: float
    failures: int = 0
    started: float = 0.0
    ended: float = 0.0

    @property
    def deadline(self) -> float:
        """When its time is up, on the clock of ``time.monotonic``."""
        return self.started + self.timeout_s

    @property
    def ran_ms(self) -> float:
        """How long it ran, in milliseconds."""
        return (self.ended - self.started) * 1000

    def begin(self, now: float) -> None:
        """Start its time; every runner does so before it calls the code."""
        self.started = now
        self.context.deadline = now + self.timeout_s


@dataclass(frozen=True, slots=True)
class Returned:
    """The code returned."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """The code raised."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Overran:
    """The attempt's time was up first."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The attempt was stopped from outside."""

    reason: str


@dataclass(frozen=True, slots=True)
class Decided:
    """The attempt ran in a process of its own, where what follows was decided too."""

    decision: "Settle | RetryLater"


@dataclass(frozen=True, slots=True)
class Died:
    """The attempt's own process ended without a word; an announced end counts as no death."""

    reason: str
    is_announced: bool = False


End = Returned | Raised | Overran | Stopped | Decided | Died


@dataclass(frozen=True, slots=True)
class ValueLimits:
    """How large and how deeply nested the value of a step may be."""

    max_bytes: int = 1_048_576
    max_depth: int = 32


@dataclass(frozen=True, slots=True)
class Settle:
    """The step has its outcome."""

    status: Status
    value: Any = None
    error: OutcomeError | None = None


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The step failed and is tried again after ``delay_s`` seconds."""

    delay_s: float
    error: OutcomeError


Decision = Settle | RetryLater


def prepare(
    definition: StepDefinition,
    call: StepCall,
    *,
    context: StepContext,
    failures: int = 0,
    timeout_s: float | None = None,
) -> Attempt | Settle:
    """Return the attempt, or the outcome of a call that does not fit the step: failed, and never tried again.

    Args:
        definition: The step's code.
        call: What was asked for.
        context: The ``ctx`` of this attempt; it says which start this is.
        failures: How often the step has failed before.
        timeout_s: How long the attempt may run, in seconds; the call's time-out if left out.
    """
    arguments = definition.bind(call.params, context.shared_context)
    if isinstance(arguments, list):
        return Settle("failed", error=error_of_problems("InvalidParams", arguments))
    if definition.takes_context:
        arguments[CONTEXT_PARAMETER] = context
    limit_s = call.timeout_s if timeout_s is None else min(timeout_s, call.timeout_s)
    return Attempt(definition, call, context, arguments, limit_s, failures)


def decide(
    attempt: Attempt,
    end: End,
    *,
    limits: ValueLimits,
    rng: Random,
    run_remaining_s: float | None = None,
) -> Decision:
    """Return what follows from the end of an attempt.

    Args:
        attempt: The attempt.
        end: How it ended.
        limits: What its value must keep to.
        rng: For the random part of a retry's delay.
        run_remaining_s: Seconds the run has left, None for no limit; a later retry is not begun.
    """
    match end:
        case Returned(value):
            return _settle_value(attempt, value, limits)
        case Overran() | Raised(StepTimeout()):
            timed_out = Settle("timed_out", error=_time_out_error(attempt))
            return _or_again(attempt, timed_out, rng, run_remaining_s) if _retries_time_outs(attempt) else timed_out
        case Stopped(reason):
            return Settle("cancelled", error=OutcomeError("Stopped", reason))
        case Decided(decision):
            return decision
        case Died(reason):
            return Settle("lost", error=OutcomeError("WorkerLost", reason))
        case Raised(error):
            failed = Settle("failed", error=error_of(error))
            after_s = error.after if isinstance(error, Retry) else None
            return _or_again(attempt, failed, rng, run_remaining_s, after_s) if _may_retry(attempt, error) else failed


def _settle_value(attempt: Attempt, value: Any, limits: ValueLimits) -> Settle:
    plain, problems = attempt.definition.dump(value)
    if not problems:
        problems = check_json(plain, path="value", max_depth=limits.max_depth, max_bytes=limits.max_bytes)
    if problems:
        return Settle("failed", error=error_of_problems("InvalidResult", problems))
    return Settle("succeeded", value=plain)


def _time_out_error(attempt: Attempt) -> OutcomeError:
    if attempt.timeout_s < attempt.call.timeout_s:
        message = f"the run reached its deadline when this step had run for {attempt.timeout_s:.3g} s"
        return OutcomeError("DeadlineExceeded", message)
    return OutcomeError("StepTimeout", str(StepTimeout(attempt.timeout_s)))


def _retries_time_outs(attempt: Attempt) -> bool:
    """Whether a time-out counts as a failure: only its own, and only where the step says so."""
    is_its_own = attempt.timeout_s >= attempt.call.timeout_s
    return is_its_own and any(issubclass(StepTimeout, kind) for kind in attempt.definition.retry_on)


def _may_retry(attempt: Attempt, error: BaseException) -> bool:
    definition = attempt.definition
    if isinstance(error, Retry):
        return True
    return not isinstance(error, definition.give_up_on) and (
        not definition.retry_on or isinstance(error, definition.retry_on)
    )


def _or_again(
    attempt: Attempt, settle: Settle, rng: Random, run_remaining_s: float | None, after_s: float | None = None
) -> Decision:
    """Return a later retry in place of this outcome, where one is left and fits into the time of the run."""
    failures, error = attempt.failures + 1, settle.error
    assert error is not None
    if failures > attempt.call.retries:
        return settle
    delay_s = attempt.call.backoff.wait_s(failures, rng) if after_s is None else after_s
    if run_remaining_s is not None and delay_s >= run_remaining_s:
        left_s = max(0.0, run_remaining_s)
        reason = f"the next attempt was due in {delay_s:.3g} s, and the run had {left_s:.3g} s left"
        details = {**error.details, "not_retried": reason}
        return Settle(settle.status, error=OutcomeError(error.type, error.message, details))
    return RetryLater(delay_s, error)
