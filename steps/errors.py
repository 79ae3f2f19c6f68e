"""What can go wrong with steps and runs, in one tree.

SteplineError                        (config.errors)
|-- InvalidBatch                     the batch was refused, nothing was written
|   +-- UnknownStep                  ... because no step has that name
|-- InvalidStep                      a callable that can't be a step, or an option that can't be
|-- DuplicateStep                    two steps were defined under one name
|-- QueueFull                        no room, nothing was written
|-- BrokerUnavailable                no broker was reached in time
|   |-- NoAnswer                     ... or it did not answer: what it was told may have been done
|   |-- NewEpoch                     ... or it came back with older data, nothing was written
|   +-- StoreFull                    ... or it has no memory left for new runs, nothing was written
|-- UnfitRedis                       a Redis that can't carry a ledger: Cluster, too old, evicting
|-- SubmitUnknown                    the broker went away during submit: it may have been accepted
|-- KeyConflict                      the idempotency key belongs to another plan
|-- GatherTimeout                    not settled in time, the run goes on
|-- GatherInsideStep                 a step tried to wait for a run
|-- RunUnknown                       there is no such run
|-- RunLost                          the run was accepted and its record is gone
|-- Retry                            raised by a step that wants to be tried again
+-- StepTimeout                      raised inside a step that overruns

A setting that is wrong is a `SettingsError` (config.errors), a site that does not start a `SiteError`
(producer.launcher.site_errors).

Each takes its facts as positional arguments and words its own message, so it survives pickling and copying.
"""

from collections.abc import Sequence
from typing import Final

from config.errors import SteplineError
from config.limits import DELAY_RANGE_S
from steps.outcome import Outcome
from steps.problem import Problem

__all__ = [
    "BrokerUnavailable",
    "DuplicateStep",
    "GatherInsideStep",
    "GatherTimeout",
    "InvalidBatch",
    "InvalidStep",
    "KeyConflict",
    "NewEpoch",
    "NoAnswer",
    "Problem",
    "QueueFull",
    "Retry",
    "RunLost",
    "RunUnknown",
    "StepTimeout",
    "SteplineError",
    "StoreFull",
    "SubmitUnknown",
    "UnfitRedis",
    "UnknownStep",
]

PROBLEMS_SHOWN: Final = 20
"""How many problems the message of an error lists; its ``problems`` always holds all of them."""


_MIB: Final = 1 << 20


class InvalidBatch(SteplineError):
    """The batch was refused at the door: nothing was written, nothing published.

    Args:
        problems: All that is wrong with it, in the order of the batch.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[:PROBLEMS_SHOWN]]
        hidden = len(self.problems) - len(lines)
        return "\n".join([*lines, f"... and {hidden} more"] if hidden else lines)


class UnknownStep(InvalidBatch):
    """No step has this name, neither here nor on any worker seen lately.

    Args:
        name: The name that is not known.
        nearest: Known names that look like it, best first.
        problems: Where a whole batch was refused for its unknown steps alone: one problem for each of them.
    """

    def __init__(self, name: str, nearest: Sequence[str] = (), problems: Sequence[Problem] = ()) -> None:
        super().__init__(tuple(problems) or (Problem("", unknown_step_message(name, nearest)),))
        self.args = (name, nearest, problems)
        self.name = name
        self.nearest = tuple(nearest)


def unknown_step_message(name: str, nearest: Sequence[str]) -> str:
    """Return the sentence that says a step is not known, and what may have been meant."""
    hint = (
        f"; did you mean {' or '.join(nearest)}?"
        if nearest
        else "; import its module or name it in STEPLINE_STEP_MODULES"
    )
    return f"no step is named {name!r}{hint}"


class InvalidStep(SteplineError):
    """A step can't be defined so; the text names the step, what is wrong with it and what to do."""


class DuplicateStep(SteplineError):
    """Two different steps were defined under one name.

    Args:
        name: The name.
        first: Where it was defined first (``module.function``).
        second: Where it was defined again.
    """

    def __init__(self, name: str, first: str, second: str) -> None:
        super().__init__(name, first, second)
        self.name, self.first, self.second = name, first, second

    def __str__(self) -> str:
        return (
            f"step {self.name!r} is defined twice, in {self.first} and in {self.second}; give one of them another name"
        )


class QueueFull(SteplineError):
    """The queue has no room for these steps; nothing of the run was written.

    Args:
        queue: Its name.
        pending: Steps it holds that have not settled.
        limit: How many it may hold.
    """

    def __init__(self, queue: str, pending: int, limit: int) -> None:
        super().__init__(queue, pending, limit)
        self.queue, self.pending, self.limit = queue, pending, limit

    def __str__(self) -> str:
        return (
            f"queue {self.queue!r} has no room for this run: {self.pending} steps are pending of {self.limit} allowed; "
            f"submit again later, start more workers, or raise STEPLINE_QUEUE_LIMIT"
        )


class BrokerUnavailable(SteplineError):
    """No broker was reached within the configured time-outs, or it refused us; the message says why."""


class NoAnswer(BrokerUnavailable):
    """A command was sent and its answer did not come: it may have been carried out."""


class NewEpoch(BrokerUnavailable):
    """Redis came back with older data, so what a client assumed of the site may not hold; nothing was written."""

    def __str__(self) -> str:
        return "Redis came back with older data; nothing was written, submit again"


class StoreFull(BrokerUnavailable):
    """Redis has no memory left for new runs, those that it has accepted go on; nothing of the run was written.

    Args:
        used_bytes: What it uses.
        limit_bytes: What it may use, its ``maxmemory``.
        share: The part of that limit from which on new runs are refused.
    """

    def __init__(self, used_bytes: int, limit_bytes: int, share: float) -> None:
        super().__init__(used_bytes, limit_bytes, share)
        self.used_bytes, self.limit_bytes, self.share = used_bytes, limit_bytes, share

    def __str__(self) -> str:
        return (
            f"Redis has no room for new runs: {self.used_bytes / _MIB:.1f} MiB are used of "
            f"{self.limit_bytes / _MIB:.1f} (maxmemory), new runs are refused from {self.share:.0%} on; submit again "
            f"later, purge completed runs, lower STEPLINE_RESULT_TTL_S, or give Redis more memory"
        )


class UnfitRedis(SteplineError):
    """This Redis answers and cannot carry a ledger; the message says why and what to change."""


class SubmitUnknown(SteplineError):
    """The broker went away while a run was being submitted: it may have been accepted or not.

    Submitting again under the same run id is safe: a run that is there already is returned.

    Args:
        run_id: The id the run has if it was accepted.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id

    def __str__(self) -> str:
        return f"no answer while submitting run {self.run_id}: attach to it, or submit again under the same id"


class KeyConflict(SteplineError):
    """The idempotency key was used for a different plan.

    Args:
        key: The key.
        run_id: The run it belongs to.
    """

    def __init__(self, key: str, run_id: str) -> None:
        super().__init__(key, run_id)
        self.key, self.run_id = key, run_id

    def __str__(self) -> str:
        return f"idempotency key {self.key!r} belongs to run {self.run_id}, whose plan is another one"


class GatherTimeout(SteplineError):
    """The run had not settled when the caller's time was up; the run goes on.

    Args:
        run_id: The run.
        timeout_s: How long the caller waited.
        outcomes: The outcomes so far, in input order.
        total: How many outcomes the run will have.
    """

    def __init__(self, run_id: str, timeout_s: float, outcomes: Sequence[Outcome], total: int) -> None:
        super().__init__(run_id, timeout_s, outcomes, total)
        self.run_id, self.timeout_s, self.outcomes, self.total = run_id, timeout_s, tuple(outcomes), total

    def __str__(self) -> str:
        return (
            f"run {self.run_id} has {len(self.outcomes)} of {self.total} outcomes "
            f"after {self.timeout_s:g} s; it goes on"
        )


class GatherInsideStep(SteplineError):
    """A step tried to wait for a run, which may itself wait for that step; submitting one is fine."""

    def __str__(self) -> str:
        return "a step must not gather a run: it could wait for itself; submit it and gather it elsewhere"


class RunUnknown(SteplineError):
    """There is no such run: it never was, or its result has expired.

    Args:
        run_id: The id asked for.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id

    def __str__(self) -> str:
        return f"there is no run {self.run_id}: the id is wrong, or its result has expired (STEPLINE_RESULT_TTL_S)"


class RunLost(SteplineError):
    """The run was accepted, and its record is gone: Redis came back empty or with older data.

    Args:
        run_id: The run.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id

    def __str__(self) -> str:
        return f"run {self.run_id} is lost: Redis no longer holds it; which of its steps ran is not known"


class Retry(SteplineError):
    """Raised by a step that wants to be tried again, whatever its ``retry_on`` and ``give_up_on`` say.

    It counts as one of the step's retries; where none is left, the step has failed.

    Args:
        after: Seconds until then; None: as the step's back-off says.
        reason: Why, for the outcome and the log.
    """

    def __init__(self, after: float | None = None, reason: str = "") -> None:
        super().__init__(after, reason)
        if after is not None and not DELAY_RANGE_S[0] <= after <= DELAY_RANGE_S[1]:
            raise ValueError(f"a retry is after {DELAY_RANGE_S[0]:g} to {DELAY_RANGE_S[1]:g} seconds, not {after!r}")
        self.after, self.reason = after, reason

    def __str__(self) -> str:
        return self.reason or "the step asked to be tried again"


class StepTimeout(SteplineError):
    """Raised inside a step whose attempt has overrun, so that it can clean up; the outcome is ``timed_out``.

    Args:
        timeout_s: The time the attempt had.
    """

    def __init__(self, timeout_s: float) -> None:
        super().__init__(timeout_s)
        self.timeout_s = timeout_s

    def __str__(self) -> str:
        return f"the attempt took longer than its time-out of {self.timeout_s:g} s"
