"""Runs attempts side by side for one coordinator, with time-outs, each ending exactly once."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final, Protocol

from steps.attempt import Attempt, End, Overran, Stopped
from steps.calling import end_of_blocking, end_of_coroutine
from steps.step_loop import StepLoop, shared_loop
from steps.step_threads import StepThreads, shared_threads
from steps.zombies import Zombies

_Ended = tuple[Attempt, End, float]


class Elsewhere(Protocol):
    """Runs attempts outside of this process, and sees to their time-outs itself. For any thread."""

    def submit(self, attempt: Attempt, tell: Callable[[End, float], None]) -> None:
        """Begin an attempt; its end, and when it was, are told once, on any thread."""
        ...

    def stop(self, attempt: Attempt, reason: str) -> None:
        """Stop it; its end is told when it has stopped."""
        ...


class SideBySide:
    """The attempts of one coordinator: the thread that starts them and waits for their ends.

    Blocking steps run on ``threads``, coroutines on ``loop``; both serve many coordinators at once. What runs
    elsewhere ends when it is told to have ended, and not before. Of the others, whoever
    takes an attempt out of those running decides its end: its code that returns, or the coordinator at its
    deadline. Time-outs are noticed by the waiting coordinator, so there is no timer thread.

    Args:
        threads: For blocking steps; those of the process if left out.
        loop: For coroutines; that of the process if left out.
    """

    def __init__(self, threads: StepThreads | None = None, loop: StepLoop | None = None) -> None:
        self._threads: Final = shared_threads() if threads is None else threads
        self._loop: Final = shared_loop() if loop is None else loop
        self._running: dict[Attempt, bool] = {}
        self._elsewhere: dict[Attempt, Elsewhere] = {}
        self._ends: SimpleQueue[_Ended | None] = SimpleQueue()
        self._taken: list[_Ended | None] = []
        self._owed = 0  # ends that `wait` has still to return; changed by the coordinator alone
        self._deadlines: list[tuple[float, int, Attempt]] = []
        self._order: Iterator[int] = count()

    @property
    def running(self) -> int:
        """How many attempts have begun and were not yet returned by `wait`."""
        return self._owed

    @property
    def zombies(self) -> int:
        """How many attempts, of all coordinators of the process, have ended while their code still runs."""
        return len(self._threads.zombies) + len(self._loop.zombies)

    def is_zombie(self, attempt: Attempt) -> bool:
        """Whether the code of an attempt that has ended still runs; `wait` returns when that changes."""
        return attempt in self._zombies_like(attempt)

    def start(self, attempt: Attempt, elsewhere: Elsewhere | None = None) -> None:
        """Begin an attempt, here or elsewhere; its time runs from now.

        Raises:
            RuntimeError: There is no thread for it and none can be started; it has not begun.
        """
        attempt.begin(monotonic())
        if elsewhere is not None:
            self._start_elsewhere(attempt, elsewhere)
            return
        self._running[attempt] = True
        self._owed += 1
        try:
            if attempt.definition.is_coroutine:
                self._loop.submit(self._run_coroutine, attempt)
            else:
                self._threads.submit(self._run_blocking, attempt)
        except RuntimeError:
            if self._running.pop(attempt, None):
                self._owed -= 1
                raise
            self._zombies_like(attempt).discard(attempt)  # stopped in this very moment: its end is on its way
        heappush(self._deadlines, (attempt.deadline, next(self._order), attempt))

    def wait(self, timeout_s: float | None = None) -> list[tuple[Attempt, End]]:
        """Return the attempts that have ended since the last call, and how; each of them is returned once.

        Blocks until there is one. Returns an empty list after ``timeout_s`` seconds, after `wake`, when the
        code of a zombie has returned, and at once where nothing runs and there is no time-out.
        """
        until = inf if timeout_s is None else monotonic() + timeout_s
        while True:
            taken = self._take()
            now = monotonic()
            ended = [_closed(*one) for one in taken if one is not None]
            ended += [_closed(attempt, Overran(), now) for attempt in self._overrun(now)]
            wake_at = min(until, self._nearest_deadline())
            if taken or ended or now >= until or (wake_at == inf and not self._owed):
                self._owed -= len(ended)
                return ended
            with suppress(Empty):
                self._taken.append(self._ends.get(timeout=None if wake_at == inf else max(0.0, wake_at - now)))

    def stop(self, attempt: Attempt, reason: str) -> None:
        """End an attempt from outside unless it has ended; `wait` returns it as `Stopped`. For any thread."""
        elsewhere = self._elsewhere.get(attempt)
        if elsewhere is not None:
            elsewhere.stop(attempt, reason)
        elif self._abandon(attempt):
            self._ends.put((attempt, Stopped(reason), monotonic()))

    def stop_all(self, reason: str) -> None:
        """Stop all attempts that run now. For any thread."""
        for attempt in [*self._running, *self._elsewhere]:
            self.stop(attempt, reason)

    def wake(self) -> None:
        """Make `wait` return, now or when it is next called. For any thread."""
        self._ends.put(None)

    def _start_elsewhere(self, attempt: Attempt, elsewhere: Elsewhere) -> None:
        self._elsewhere[attempt] = elsewhere
        self._owed += 1
        try:
            elsewhere.submit(attempt, partial(self._told, attempt))
        except Exception:
            del self._elsewhere[attempt]
            self._owed -= 1
            raise

    def _told(self, attempt: Attempt, end: End, ended: float) -> None:
        del self._elsewhere[attempt]
        self._ends.put((attempt, end, ended))

    def _take(self) -> list[_Ended | None]:
        taken, self._taken = self._taken, []
        while not self._ends.empty():
            taken.append(self._ends.get_nowait())
        return taken

    def _overrun(self, now: float) -> list[Attempt]:
        """Abandon what is past its deadline and return it."""
        overrun = []
        while self._deadlines and self._deadlines[0][0] <= now:
            attempt = heappop(self._deadlines)[2]
            if self._abandon(attempt):
                overrun.append(attempt)
        return overrun

    def _nearest_deadline(self) -> float:
        while self._deadlines:
            deadline, _, attempt = self._deadlines[0]
            if attempt in self._running:
                return deadline
            heappop(self._deadlines)
        return inf

    def _abandon(self, attempt: Attempt) -> bool:
        """Take an attempt away from its code and tell the code to stop; False if it has ended already."""
        zombies = self._zombies_like(attempt)
        # First: a late return must find it there to take it out. One that is there was told already: it stays.
        if not zombies.add(attempt):
            return False
        if self._running.pop(attempt, None) is None:
            zombies.discard(attempt)
            return False
        attempt.context.cancel()
        if attempt.definition.is_coroutine:
            self._loop.cancel(attempt)
        return True

    def _zombies_like(self, attempt: Attempt) -> Zombies:
        return self._loop.zombies if attempt.definition.is_coroutine else self._threads.zombies

    def _run_blocking(self, attempt: Attempt) -> None:
        if attempt in self._running:  # else it was stopped before a thread got to it
            end = end_of_blocking(attempt)
            if self._running.pop(attempt, None):
                self._ends.put((attempt, end, monotonic()))
                return
        self._threads.zombies.discard(attempt)
        self.wake()

    async def _run_coroutine(self, attempt: Attempt) -> None:
        end = await end_of_coroutine(attempt)
        if self._running.pop(attempt, None):
            self._ends.put((attempt, end, monotonic()))
            return
        self._loop.zombies.discard(attempt)
        self.wake()


def _closed(attempt: Attempt, end: End, ended: float) -> tuple[Attempt, End]:
    attempt.ended = ended
    return attempt, end
