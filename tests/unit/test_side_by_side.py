"""Attempts side by side: at once, in time, each ending exactly once, also when many coordinators share the threads."""

import asyncio
import gc
import os
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from steps.attempt import Attempt, Died, End, Overran, Raised, Returned, Stopped
from steps.context import running_step
from steps.side_by_side import SideBySide
from steps.step_loop import StepLoop, is_on_step_loop, shared_loop
from steps.step_threads import StepThreads, shared_threads
from steps.zombies import Zombies
from tests.support.attempts import WAIT_S, attempt_of

SHORT_S = 0.02
"""A time-out that is meant to be overrun, in seconds."""


@pytest.fixture
def loop() -> Iterator[StepLoop]:
    loop = StepLoop()
    yield loop
    loop.close()


@pytest.fixture
def threads() -> StepThreads:
    return StepThreads(idle_s=0.5)


@pytest.fixture
def side(threads: StepThreads, loop: StepLoop) -> SideBySide:
    return SideBySide(threads, loop)


def ends_of(side: SideBySide, *attempts: Attempt) -> dict[Attempt, End]:
    """Start attempts and wait until all that runs has ended."""
    for attempt in attempts:
        side.start(attempt)
    ends: dict[Attempt, End] = {}
    while side.running:
        for attempt, end in side.wait(WAIT_S):
            assert attempt not in ends
            ends[attempt] = end
    return ends


def wait_until(side: SideBySide, holds: Callable[[], bool]) -> None:
    """Wait, as a coordinator does, until something holds that follows from the end of a zombie."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        assert side.wait(0.01) == []


def overrun(side: SideBySide, target: Callable[..., Any], inside: threading.Event) -> Attempt:
    """Let an attempt overrun and return it; on a busy machine again, until its code had begun by then."""
    while True:
        attempt = attempt_of(target, timeout_s=SHORT_S)
        assert ends_of(side, attempt) == {attempt: Overran()}
        if inside.is_set():
            return attempt


def nothing() -> None: ...


async def nothing_later() -> None: ...


def test_ten_blocking_steps_run_at_once(side: SideBySide) -> None:
    barrier = threading.Barrier(10)

    def Meeting() -> int:
        return barrier.wait(WAIT_S)

    ends = ends_of(side, *[attempt_of(Meeting) for _ in range(10)])
    assert sorted(end.value for end in ends.values() if isinstance(end, Returned)) == list(range(10))


def test_ten_coroutines_run_at_once_on_one_thread(side: SideBySide) -> None:
    met: list[threading.Thread] = []
    together = asyncio.Event()

    async def Meeting() -> bool:
        met.append(threading.current_thread())
        if len(met) == 10:
            together.set()
        return await together.wait()

    ends = ends_of(side, *[attempt_of(Meeting) for _ in range(10)])
    assert set(ends.values()) == {Returned(True)}
    assert len(set(met)) == 1


def test_steps_that_return_at_once_are_run_in_a_row_by_few_threads(threads: StepThreads, side: SideBySide) -> None:
    used = set()

    def Quick() -> None:
        used.add(threading.get_ident())

    for _ in range(50):
        ends_of(side, attempt_of(Quick))
    assert len(used) == 1


def test_what_a_step_raises_is_its_end(side: SideBySide) -> None:
    error = ValueError("x")

    def Raising() -> None:
        raise error

    async def Leaving() -> None:
        raise SystemExit(1)

    blocking, coroutine = attempt_of(Raising), attempt_of(Leaving)
    ends = ends_of(side, blocking, coroutine)
    assert ends[blocking] == Raised(error)
    end = ends[coroutine]
    assert isinstance(end, Raised)
    assert isinstance(end.error, SystemExit)
    assert ends_of(side, attempt_of(nothing_later)), "the loop is still there"


def test_a_blocking_step_ends_at_its_deadline_and_is_a_zombie_until_it_returns(side: SideBySide) -> None:
    inside, release = threading.Event(), threading.Event()

    def Stuck(ctx: Any) -> bool:
        inside.set()
        release.wait(WAIT_S)
        return bool(ctx.cancelled)

    attempt = overrun(side, Stuck, inside)
    assert SHORT_S * 1000 <= attempt.ran_ms < WAIT_S * 1000
    assert attempt.context.cancelled
    assert side.zombies == 1
    assert side.is_zombie(attempt)
    assert side.running == 0
    release.set()
    wait_until(side, lambda: side.zombies == 0)
    assert not side.is_zombie(attempt)
    assert side.wait(0) == [], "its late end is dropped"


def test_wait_returns_when_the_code_of_a_zombie_does(side: SideBySide) -> None:
    inside, release = threading.Event(), threading.Event()

    def Stuck() -> None:
        inside.set()
        release.wait(WAIT_S)

    attempt = overrun(side, Stuck, inside)
    threading.Timer(0.05, release.set).start()
    began = time.monotonic()
    assert side.wait(WAIT_S) == []
    assert time.monotonic() - began < WAIT_S / 2
    assert not side.is_zombie(attempt)


def test_a_coroutine_is_truly_cancelled_at_its_deadline(side: SideBySide) -> None:
    inside, cleaned_up = threading.Event(), threading.Event()

    async def Waiting() -> None:
        inside.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.set()

    attempt = overrun(side, Waiting, inside)
    assert cleaned_up.wait(WAIT_S)
    assert side.zombies == 0
    wait_until(side, lambda: not side.is_zombie(attempt))


def test_a_coroutine_that_swallows_its_cancellation_is_a_zombie(threads: StepThreads, loop: StepLoop) -> None:
    loop.zombies = Zombies(grace_s=0.0)  # type: ignore[misc]
    side = SideBySide(threads, loop)
    inside, release = threading.Event(), asyncio.Event()

    async def Stubborn() -> str:
        inside.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    overrun(side, Stubborn, inside)
    assert side.zombies == 1

    async def Releasing() -> None:
        release.set()

    ends_of(side, attempt_of(Releasing))
    wait_until(side, lambda: side.zombies == 0)
    assert side.wait(0) == []


def test_a_zombie_counts_only_after_its_grace() -> None:
    zombies, attempt = Zombies(grace_s=3600), attempt_of(nothing)
    zombies.add(attempt)
    assert attempt in zombies
    assert len(zombies) == 0
    zombies.discard(attempt)
    zombies.discard(attempt)
    assert attempt not in zombies


def test_a_coroutine_that_blocks_the_loop_is_timed_out_by_its_coordinator(side: SideBySide) -> None:
    release = threading.Event()

    async def Blocking() -> None:
        release.wait(WAIT_S)

    attempt, never_begun = attempt_of(Blocking, timeout_s=SHORT_S), attempt_of(nothing_later, timeout_s=SHORT_S)
    assert ends_of(side, attempt, never_begun) == {attempt: Overran(), never_begun: Overran()}
    release.set()
    wait_until(side, lambda: not (side.is_zombie(attempt) or side.is_zombie(never_begun)))


def test_attempts_overrun_in_the_order_of_their_deadlines(side: SideBySide) -> None:
    limits = (0.06, 0.02, 0.04)
    attempts = [attempt_of(Waiting, params={"number": 0}, timeout_s=limit_s) for limit_s in limits]
    assert [one.timeout_s for one in ends_of(side, *attempts)] == sorted(limits)


def test_a_stopped_attempt_ends_once_with_the_reason(side: SideBySide) -> None:
    release = threading.Event()

    def Stuck() -> None:
        release.wait(WAIT_S)

    blocking, coroutine = attempt_of(Stuck), attempt_of(Waiting, params={"number": 0})
    side.start(blocking)
    side.start(coroutine)
    side.stop_all("the run was cancelled")
    side.stop(blocking, "again")
    ends = ends_of(side)
    assert ends == dict.fromkeys((blocking, coroutine), Stopped("the run was cancelled"))
    assert blocking.context.cancelled
    release.set()
    wait_until(side, lambda: not (side.is_zombie(blocking) or side.is_zombie(coroutine)))


def test_an_attempt_stopped_before_a_thread_gets_to_it_is_never_begun(loop: StepLoop) -> None:
    later: list[Callable[[], None]] = []

    class SlowThreads(StepThreads):
        def submit(self, run: Any, attempt: Attempt) -> None:
            later.append(lambda: run(attempt))

    begun: list[bool] = []

    def Beginning() -> None:
        begun.append(True)

    side = SideBySide(SlowThreads(), loop)
    attempt = attempt_of(Beginning)
    side.start(attempt)
    side.stop(attempt, "stopped")
    later[0]()
    assert begun == []
    assert side.wait(0) == [(attempt, Stopped("stopped"))]
    assert not side.is_zombie(attempt)


def test_wait_returns_at_once_where_nothing_runs_and_after_its_time_out_else(side: SideBySide) -> None:
    assert side.wait() == []
    began = time.monotonic()
    assert side.wait(SHORT_S) == []
    assert time.monotonic() - began >= SHORT_S


def test_another_thread_can_wake_the_coordinator(side: SideBySide) -> None:
    side.wake()
    assert side.wait(WAIT_S) == []
    threading.Timer(0.01, side.wake).start()
    began = time.monotonic()
    assert side.wait(WAIT_S) == []
    assert time.monotonic() - began < WAIT_S / 2


def test_an_end_that_is_on_its_way_still_counts_as_running(threads: StepThreads, loop: StepLoop) -> None:
    side = SideBySide(threads, loop)
    on_its_way, deliver = threading.Event(), threading.Event()
    put = side._ends.put

    class SlowEnds:
        def put(self, end: Any) -> None:
            on_its_way.set()
            deliver.wait(WAIT_S)
            put(end)

        def __getattr__(self, name: str) -> Any:
            return getattr(ends, name)

    ends, side._ends = side._ends, SlowEnds()  # type: ignore[assignment]
    attempt = attempt_of(nothing)
    side.start(attempt)
    assert on_its_way.wait(WAIT_S)
    assert side.running == 1
    threading.Timer(0.01, deliver.set).start()
    assert side.wait() == [(attempt, Returned(None))]
    assert side.running == 0


def test_an_attempt_for_which_no_thread_can_be_had_has_not_begun(
    side: SideBySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for target in (nothing, nothing_later):
            with pytest.raises(RuntimeError, match="can't start new thread"):
                side.start(attempt_of(target))
    assert side.running == 0
    assert side.wait() == []
    assert len(ends_of(side, attempt_of(nothing), attempt_of(nothing_later))) == 2


def test_an_attempt_stopped_while_no_thread_can_be_had_for_it_ends_as_stopped(loop: StepLoop) -> None:
    class RefusingThreads(StepThreads):
        def submit(self, run: Any, attempt: Attempt) -> None:
            sides[0].stop(attempt, "stopped")
            raise RuntimeError("can't start new thread")

    side = SideBySide(RefusingThreads(), loop)
    sides = [side]
    attempt = attempt_of(nothing)
    assert ends_of(side, attempt) == {attempt: Stopped("stopped")}
    assert side.zombies == 0


def test_no_loop_can_be_made_without_file_handles(loop: StepLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio, "new_event_loop", refuse)
    with pytest.raises(RuntimeError, match="Too many open files"):
        SideBySide(StepThreads(), loop).start(attempt_of(nothing_later))


def test_jobs_wait_for_the_threads_there_are_when_no_more_can_be_had(
    side: SideBySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, release = threading.Event(), threading.Event()

    def Holding() -> None:
        inside.set()
        release.wait(WAIT_S)

    started = threading.Thread.start
    allowed = iter([True])

    def start_one(thread: threading.Thread) -> None:
        if not next(allowed, False):
            raise RuntimeError("can't start new thread")
        started(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start_one)
        submitted = [attempt_of(nothing), attempt_of(nothing)]
        for attempt in submitted:
            side._threads._jobs.append((side._run_blocking, attempt))
            side._running[attempt] = True
            side._owed += 1
        side.start(attempt_of(Holding))
        assert inside.wait(WAIT_S)
        release.set()
        assert len(ends_of(side)) == 3


def test_of_many_idle_threads_the_last_one_is_used_again_and_again(threads: StepThreads, side: SideBySide) -> None:
    barrier = threading.Barrier(5)
    used: list[int] = []

    def Meeting() -> None:
        barrier.wait(WAIT_S)

    def Passing() -> None:
        used.append(threading.get_ident())

    def are_all_idle() -> bool:
        return len(threads._idle) >= 5 and not threads._is_waking

    ends_of(side, *[attempt_of(Meeting) for _ in range(5)])
    for _ in range(10):
        wait_until(side, are_all_idle)
        ends_of(side, attempt_of(Passing))
    assert len(set(used)) == 1


def test_idle_threads_end_after_a_while(loop: StepLoop) -> None:
    threads = StepThreads(idle_s=0.01)
    found: list[threading.Thread] = []

    def Looking() -> None:
        found.append(threading.current_thread())

    ends_of(SideBySide(threads, loop), attempt_of(Looking))
    found[0].join(WAIT_S)
    assert not found[0].is_alive()
    assert found[0].daemon
    assert found[0].name == "stepline-step"
    assert ends_of(SideBySide(threads, loop), attempt_of(Looking))


def test_an_idle_thread_that_is_chosen_as_its_time_is_up_stays(threads: StepThreads) -> None:
    class Chosen: ...

    assert not threads.retire(Chosen())  # type: ignore[arg-type]


def test_an_idle_thread_keeps_nothing_of_the_last_step_alive(side: SideBySide) -> None:
    class Heavy: ...

    kept: list[weakref.ref[Heavy]] = []

    def Making() -> Any:
        value = Heavy()
        kept.append(weakref.ref(value))
        return value

    ends_of(side, attempt_of(Making)).clear()
    deadline = time.monotonic() + WAIT_S
    while kept[0]() is not None:
        assert time.monotonic() < deadline
        gc.collect()


def Echo(number: int) -> int:
    return number


async def EchoLater(number: int) -> int:
    await asyncio.sleep(0)
    return number


async def Waiting(number: int) -> None:
    await asyncio.Event().wait()


class Coordinator(threading.Thread):
    """Runs steps of three kinds, ten at a time, and notes how each ended."""

    KINDS = ((Echo, WAIT_S), (EchoLater, WAIT_S), (Waiting, 0.001))

    def __init__(self, side: SideBySide, numbers: range) -> None:
        super().__init__(daemon=True)
        self.ends: list[tuple[int, End]] = []
        self._side = side
        self._numbers = numbers

    @classmethod
    def expected(cls, number: int) -> tuple[int, End]:
        return number, Overran() if number % 3 == 2 else Returned(number)

    def run(self) -> None:
        for number in self._numbers:
            target, timeout_s = self.KINDS[number % 3]
            self._side.start(attempt_of(target, params={"number": number}, timeout_s=timeout_s))
            self._collect(at_most=9)
        self._collect(at_most=0)

    def _collect(self, at_most: int) -> None:
        while self._side.running > at_most:
            self.ends += [(attempt.arguments["number"], end) for attempt, end in self._side.wait(WAIT_S)]


def test_many_coordinators_share_threads_and_loop_and_each_gets_its_own_ends_once(
    threads: StepThreads, loop: StepLoop
) -> None:
    parts = [range(first, first + 150) for first in range(0, 900, 150)]
    coordinators = [Coordinator(SideBySide(threads, loop), part) for part in parts]
    for one in coordinators:
        one.start()
    for one, part in zip(coordinators, parts, strict=True):
        one.join(WAIT_S)
        assert sorted(one.ends, key=lambda end: end[0]) == [one.expected(number) for number in part]


def test_ends_and_deadlines_that_race_give_one_end_each(side: SideBySide) -> None:
    def Racing() -> None:
        time.sleep(0.002)

    attempts = [attempt_of(Racing, timeout_s=0.01) for _ in range(60)]
    ends: dict[Attempt, End] = {}

    def stop_some() -> None:
        for one in attempts[::3]:
            side.stop(one, "raced")

    stopper = threading.Thread(target=stop_some)
    for attempt in attempts:
        side.start(attempt)
    stopper.start()
    while side.running:
        for attempt, end in side.wait(WAIT_S):
            assert attempt not in ends
            ends[attempt] = end
    stopper.join(WAIT_S)
    assert len(ends) == 60
    wait_until(side, lambda: side.zombies == 0)


def test_a_step_sees_itself_as_running_on_thread_and_loop(side: SideBySide) -> None:
    def Looking(ctx: Any) -> tuple[bool, bool]:
        return running_step() is ctx, is_on_step_loop()

    async def LookingLater(ctx: Any) -> tuple[bool, bool]:
        return running_step() is ctx, is_on_step_loop()

    blocking, coroutine = attempt_of(Looking), attempt_of(LookingLater)
    ends = ends_of(side, blocking, coroutine)
    assert ends == {blocking: Returned((True, False)), coroutine: Returned((True, True))}


def test_a_closed_loop_has_cancelled_its_tasks_and_takes_no_more(threads: StepThreads) -> None:
    loop = StepLoop()
    loop.close()
    side = SideBySide(threads, loop)
    inside = threading.Event()

    async def Waiting() -> None:
        inside.set()
        await asyncio.Event().wait()

    attempt = attempt_of(Waiting)
    side.start(attempt)
    assert inside.wait(WAIT_S)
    loop.close()
    loop.close()
    ((ended, end),) = side.wait(WAIT_S)
    assert ended is attempt
    assert isinstance(end, Raised)
    assert isinstance(end.error, asyncio.CancelledError)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="closed"):
            side.start(attempt_of(nothing_later))
    loop.cancel(attempt)


def test_a_forked_child_makes_threads_and_loop_of_its_own() -> None:
    mine = (shared_threads(), shared_loop())
    assert (shared_threads(), shared_loop()) == mine
    ends_of(SideBySide(), attempt_of(nothing), attempt_of(nothing_later))
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tried here
        child = os.fork()
    if child == 0:
        try:
            ends = ends_of(SideBySide(), attempt_of(nothing), attempt_of(nothing_later))
            is_new = shared_threads() is not mine[0] and shared_loop() is not mine[1]
            os.write(writer, f"{is_new} {set(ends.values())}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        assert answer.read() == "True {Returned(value=None)}"
    assert os.waitpid(child, 0)[1] == 0
    assert ends_of(SideBySide(), attempt_of(nothing_later)), "the parent's loop still works"


class Elsewhere:
    """Runs nothing; keeps what it was asked for."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.told: dict[Attempt, Callable[[End, float], None]] = {}
        self.stopped: list[tuple[Attempt, str]] = []
        self.problem = problem

    def submit(self, attempt: Attempt, tell: Callable[[End, float], None]) -> None:
        if self.problem is not None:
            raise self.problem
        self.told[attempt] = tell

    def stop(self, attempt: Attempt, reason: str) -> None:
        self.stopped.append((attempt, reason))


def test_what_runs_elsewhere_ends_when_it_is_told_to_have_ended(side: SideBySide) -> None:
    elsewhere, attempt, here = Elsewhere(), attempt_of(lambda: None, timeout_s=0.0), attempt_of(lambda: "here")
    side.start(attempt, elsewhere)
    side.start(here)
    assert side.wait(WAIT_S) == [(here, Returned("here"))]
    assert side.wait(0.02) == [], "its time-out is not looked after here"
    side.stop(attempt, "enough")
    side.stop_all("all")
    assert elsewhere.stopped == [(attempt, "enough"), (attempt, "all")]
    assert side.running == 1
    elsewhere.told[attempt](Died("gone"), attempt.started + 2)
    assert side.wait(WAIT_S) == [(attempt, Died("gone"))]
    assert attempt.ran_ms == pytest.approx(2000)
    side.stop(attempt, "late")
    side.stop_all("late")
    assert (side.running, side.wait(), len(elsewhere.stopped)) == (0, [], 2)


def test_what_cannot_be_run_elsewhere_has_not_begun(side: SideBySide) -> None:
    with pytest.raises(RuntimeError, match="no room"):
        side.start(attempt_of(lambda: None), Elsewhere(RuntimeError("no room")))
    assert (side.running, side.wait()) == (0, [])
