"""The state of a plan that runs in this process: what each step has been through, and what has settled."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Final

from producer.planning.plan import Plan, PlannedStep
from producer.result import Result
from producer.run_meta import OUTCOMES_KEY
from steps.attempt import Attempt, Settle, prepare
from steps.context import StepContext, StepResults
from steps.definition import StepDefinition
from steps.outcome import Outcome, OutcomeError, Settlement


class Fences:
    """Gives out fences as the ledger does: each higher than the last, and than the clock's microseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        """Return a fence that was not given out before."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1000)
            return self._last


_fences: Final = Fences()


@dataclass(slots=True, eq=False)
class StepProgress:
    """One step on its way: how often it began and failed, and when it last became ready and began."""

    planned: PlannedStep
    definition: StepDefinition
    ready: float
    attempts: int = 0
    failures: int = 0
    queued_ms: float | None = None
    started_ms: float | None = None
    ran_ms: float | None = None


@dataclass(slots=True)
class Group:
    """Steps that share a bound on how many of them run at once.

    Args:
        waiting: Not begun, or due again.
        limit: How many may run at once.
        is_one_by_one: Whether a step that waits for a retry, or whose code outlived it, holds up the next.
        running: How many run.
        delayed: Those that wait for a retry: when it is due, an order, the step.
        last: The attempt begun last.
    """

    waiting: deque[StepProgress]
    limit: int
    is_one_by_one: bool
    running: int = 0
    delayed: list[tuple[float, int, StepProgress]] = field(default_factory=list)
    last: Attempt | None = None

    @property
    def is_done(self) -> bool:
        """Whether all of its steps have settled."""
        return not (self.waiting or self.running or self.delayed)

    def delay(self, step: StepProgress, due: float) -> None:
        """Let a step wait for its retry."""
        heappush(self.delayed, (due, step.planned.position, step))

    def recall(self, now: float) -> None:
        """Put the steps whose retry is due in front of those that have not begun."""
        while self.delayed and self.delayed[0][0] <= now:
            due, _, step = heappop(self.delayed)
            step.ready = due
            self.waiting.appendleft(step)

    def has_room(self, is_zombie: Callable[[Attempt], bool]) -> bool:
        """Whether one more may begin."""
        if not self.is_one_by_one:
            return self.running < self.limit
        return not (self.running or self.delayed or (self.last is not None and is_zombie(self.last)))


class InlineRun:
    """One execution of a plan.

    Args:
        plan: What to run.
        find: Returns the code of a step.
        run_id: Its id.
    """

    def __init__(self, plan: Plan, find: Callable[[str], StepDefinition], run_id: str) -> None:
        self.plan: Final = plan
        self.run_id: Final = run_id
        self.began: Final = time.monotonic()
        self.deadline: Final = self.began + plan.deadline_s
        self.fallback: str | None = None
        self._find = find
        self._results = StepResults()
        self._progress: dict[int, StepProgress] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._worker = f"inline:{os.getpid()}"

    def group(self, steps: Iterable[PlannedStep], *, limit: int | None = None) -> Group:
        """Return a group of those of the steps that have not settled; without a limit they run one by one."""
        now = time.monotonic()
        waiting = deque(self._progress_of(one, now) for one in steps if one.position not in self._outcomes)
        return Group(waiting, 1 if limit is None else limit, limit is None)

    def _progress_of(self, planned: PlannedStep, now: float) -> StepProgress:
        step = self._progress.get(planned.position)
        if step is None:
            step = self._progress[planned.position] = StepProgress(planned, self._find(planned.call.name), now)
        return step

    def begin(self, step: StepProgress, now: float, deadline: float) -> Attempt | Settle:
        """Return the next attempt of a step, or its outcome where it can't be made."""
        step.queued_ms = (now - step.ready) * 1000
        step.started_ms = time.time() * 1000
        planned = step.planned
        context = StepContext(
            run_id=self.run_id,
            step_id=planned.call.id,
            context=self._context_for(planned),
            results=self._results,
            strategy=self.plan.strategy,
            fence=_fences.next(),
            attempt=step.attempts + 1,
            effect_key=self.run_id if planned is self.plan.then else None,
        )
        return prepare(
            step.definition,
            planned.call,
            context=context,
            failures=step.failures,
            timeout_s=deadline - now,
        )

    def _context_for(self, planned: PlannedStep) -> dict[str, Any]:
        """Return the context of a step; the completion body's holds the outcomes too."""
        if planned is not self.plan.then:
            return self.plan.context
        outcomes = [self.outcome(step).as_dict() for step in self.plan.steps]
        return {OUTCOMES_KEY: outcomes, **self.plan.context}

    def settle(self, step: StepProgress, settle: Settle) -> None:
        """Note the one outcome of a step."""
        planned = step.planned
        settlement = Settlement(
            status=settle.status,
            value=settle.value,
            error=settle.error,
            attempts=step.attempts,
            queued_ms=step.queued_ms,
            ran_ms=step.ran_ms,
            worker=self._worker if step.attempts else None,
            started_ms=step.started_ms,
        )
        self._outcomes[planned.position] = planned.meta().outcome(settlement, time.time() * 1000)
        if settle.status == "succeeded":
            self._results.add(planned.call.id, planned.position, settle.value)

    def skip_after(self, failed: StepProgress, group: Group) -> None:
        """Settle the steps behind a failed one of a sequence as skipped."""
        error = OutcomeError("Skipped", f"step {failed.planned.call.id} before it did not succeed")
        behind, group.waiting = group.waiting, deque()
        for step in behind:
            self.settle(step, Settle("skipped", error=error))

    def expire(self, group: Group) -> None:
        """Settle what has not begun, or waits for a retry, when the run's deadline has come."""
        error = OutcomeError("DeadlineExceeded", "the run reached its deadline before this step settled")
        for step in [*group.waiting, *(step for _, _, step in group.delayed)]:
            self.settle(step, Settle("timed_out", error=error))
        group.waiting.clear()
        group.delayed.clear()

    def settle_rest(self, steps: Iterable[PlannedStep], settle: Settle) -> None:
        """Settle those of the steps that have not settled."""
        for step in self.group(steps).waiting:
            self.settle(step, settle)

    def outcome(self, planned: PlannedStep) -> Outcome:
        """Return the outcome of a step that has settled."""
        return self._outcomes[planned.position]

    def result(self) -> Result:
        """Return what became of every step; all have settled."""
        return Result(
            run_id=self.run_id,
            mode=self.plan.mode,
            total_ms=(time.monotonic() - self.began) * 1000,
            outcomes=tuple(self._outcomes[step.position] for step in self.plan.steps),
            classification=self.plan.classification,
            fallback=self.fallback,
        )
