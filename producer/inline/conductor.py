"""Runs groups of steps of one execution in this process until all of them have settled."""

from collections.abc import Sequence
from math import inf
from random import Random
from time import monotonic
from typing import Final

from producer.inline.inline_run import Group, InlineRun, StepProgress
from steps.attempt import Attempt, End, RetryLater, Settle, ValueLimits, decide
from steps.outcome import OutcomeError
from steps.side_by_side import SideBySide


class Conductor:
    """Starts what may start, waits for what ends, and settles it or lets it wait for its retry.

    Args:
        run: Whose steps they are.
        side: Where attempts run.
        limits: What values must keep to.
    """

    def __init__(self, run: InlineRun, side: SideBySide, limits: ValueLimits) -> None:
        self._run: Final = run
        self._side: Final = side
        self._limits: Final = limits
        self._rng: Final = Random()
        self._under_way: dict[Attempt, tuple[Group, StepProgress]] = {}

    def conduct(self, groups: Sequence[Group], deadline: float) -> None:
        """Run groups side by side until all of their steps have settled.

        Args:
            groups: Of steps that have not settled.
            deadline: When to give up what has not begun, on the clock of ``time.monotonic``.

        Raises:
            RuntimeError: There is no thread or no loop for a step; call `abandon` then.
        """
        while True:
            now = monotonic()
            for group in groups:
                group.recall(now)
                if now >= deadline:
                    self._run.expire(group)
                self._start(group, now, deadline)
            if all(group.is_done for group in groups):
                return
            for attempt, end in self._side.wait(_pause_s(groups, deadline)):
                self._conclude(attempt, end, deadline)

    def abandon(self, reason: str) -> None:
        """Stop what runs; a critical step is lost, as what it did is not known, and others may run again."""
        self._side.stop_all(reason)
        left, self._under_way = self._under_way, {}
        for group, step in left.values():
            if step.planned.critical:
                self._settle(group, step, Settle("lost", error=OutcomeError("ExecutionBroke", reason)))

    def _start(self, group: Group, now: float, deadline: float) -> None:
        while group.waiting and group.has_room(self._side.is_zombie):
            step = group.waiting.popleft()
            attempt = self._run.begin(step, now, deadline)
            if isinstance(attempt, Settle):
                step.attempts += 1
                self._settle(group, step, attempt)
                continue
            self._side.start(attempt)
            step.attempts += 1
            self._under_way[attempt] = group, step
            group.running += 1
            group.last = attempt

    def _conclude(self, attempt: Attempt, end: End, deadline: float) -> None:
        if attempt not in self._under_way:  # given up when an earlier part of the execution broke
            return
        group, step = self._under_way.pop(attempt)
        group.running -= 1
        step.ran_ms = attempt.ran_ms
        remaining_s = deadline - attempt.ended
        decision = decide(attempt, end, limits=self._limits, rng=self._rng, run_remaining_s=remaining_s)
        match decision:
            case RetryLater(delay_s):
                step.failures += 1
                group.delay(step, attempt.ended + delay_s)
            case Settle():
                self._settle(group, step, decision)

    def _settle(self, group: Group, step: StepProgress, settle: Settle) -> None:
        self._run.settle(step, settle)
        stops = step.planned.sequential and self._run.plan.strategy == "basic"
        if stops and settle.status != "succeeded":
            self._run.skip_after(step, group)


def _pause_s(groups: Sequence[Group], deadline: float) -> float | None:
    """Return how long only an end can change anything: until a retry is due, or what waits is given up."""
    due = [group.delayed[0][0] for group in groups if group.delayed]
    if any(group.waiting for group in groups):
        due.append(deadline)
    nearest = min(due, default=inf)
    return None if nearest == inf else max(0.0, nearest - monotonic())
