"""The in-process engines: parallel, sequential, and the hybrid of both."""

import asyncio
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from config.errors import SettingsError
from config.settings import Settings
from producer.inline import engines, execution
from producer.inline.admission import active_executions, admitted
from producer.inline.engines import ParallelExecutionEngine, SequentialExecutionEngine, execute_steps, plan_here
from producer.inline.inline_run import Fences
from producer.result import Result
from steps.context import StepContext
from steps.decorator import step
from steps.errors import InvalidBatch, QueueFull, StepTimeout, UnknownStep
from steps.outcome import Outcome, OutcomeError
from steps.registry import StepRegistry
from steps.side_by_side import SideBySide
from tests.support.attempts import WAIT_S

SETTINGS = Settings()
SHORT_S = 0.02
"""A time-out that is meant to be overrun, in seconds."""


@pytest.fixture(autouse=True)
def _own_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(engines, "_settings_of_process", lambda: SETTINGS)
    with StepRegistry().isolated():
        yield


class Trace:
    """Steps that note when they begin and end, in the order in which they really do."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def add(self, name: str, *, critical: bool, fails: bool = False) -> str:
        @step(name=name, critical=critical)
        def traced() -> str:
            with self._lock:
                self.events.append(name)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                time.sleep(0.001)
                if fails:
                    raise ValueError(f"{name} failed")
                return name
            finally:
                with self._lock:
                    self.at_once -= 1

        return name


@pytest.fixture
def trace() -> Trace:
    return Trace()


def error_of(outcome: Outcome) -> OutcomeError:
    assert outcome.error is not None
    return outcome.error


def statuses(result: Result) -> dict[str, str]:
    return {outcome.id: outcome.status for outcome in result.outcomes}


def test_should_execute_steps_in_parallel() -> None:
    barrier = threading.Barrier(10)

    @step
    def GetPartStep(part: int) -> int:
        barrier.wait(WAIT_S)
        return part

    calls = [{"name": "GetPartStep", "params": {"part": part}} for part in range(10)]
    result = ParallelExecutionEngine().execute(calls)
    assert result.ok
    assert result.mode == "parallel"
    assert [outcome.value for outcome in result.outcomes] == list(range(10))
    assert {outcome.attempts for outcome in result.outcomes} == {1}


def test_should_handle_step_failures_gracefully() -> None:
    @step(retries=0)
    def GetBrokenStep() -> None:
        raise ValueError("it is broken")

    @step(retries=0)
    async def GetLeavingStep() -> None:
        raise SystemExit(1)

    @step
    def GetFineStep() -> str:
        return "fine"

    result = ParallelExecutionEngine().execute(["GetBrokenStep", "GetFineStep", "GetLeavingStep"])
    assert statuses(result) == {
        "GetBrokenStep": "failed",
        "GetFineStep": "succeeded",
        "GetLeavingStep": "failed",
    }
    assert not result.ok
    error = error_of(result["GetBrokenStep"])
    assert (error.type, error.message) == ("ValueError", "it is broken")
    assert "in GetBrokenStep" in error.details["traceback"]
    assert result["GetFineStep"].value == "fine"


def test_should_respect_timeout_configuration() -> None:
    release = threading.Event()

    @step
    def GetStuckStep(ctx: StepContext) -> None:
        release.wait(WAIT_S)

    @step
    async def GetWaitingStep() -> None:
        await asyncio.Event().wait()

    @step(timeout=WAIT_S)
    def GetPatientStep() -> str:
        return "in time"

    engine = ParallelExecutionEngine(timeout_s=SHORT_S)
    result = engine.execute(["GetStuckStep", "GetWaitingStep", "GetPatientStep"])
    release.set()
    assert list(statuses(result).values()) == ["timed_out", "timed_out", "succeeded"]
    for outcome in result.outcomes[:2]:
        assert error_of(outcome).type == "StepTimeout"
        assert outcome.attempts == 1
        assert (outcome.ran_ms or 0.0) >= SHORT_S * 1000


def test_should_fallback_to_sequential_execution_on_error(
    trace: Trace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class BrokenSide(SideBySide):
        def start(self, attempt: Any) -> None:
            if self.running == 2:
                raise RuntimeError("can't start new thread")
            super().start(attempt)

    names = [trace.add(name, critical=name == "Write") for name in ("Write", "A", "B", "C", "D")]
    monkeypatch.setattr(execution, "SideBySide", BrokenSide)
    plan = plan_here(names, None, None, SETTINGS)
    with caplog.at_level(logging.WARNING):
        result = execution.run_plan(plan, find=StepRegistry().get, settings=SETTINGS, make_side=BrokenSide)
    assert result.ok
    assert result.fallback == ("the steps left ran one after the other, as side by side broke: can't start new thread")
    assert result.fallback in caplog.text
    assert [outcome.value for outcome in result.outcomes] == names
    assert trace.events.count("Write") == 1
    assert result["A"].attempts == 2, "it was under way when the parallel part broke"
    assert result["D"].attempts == 1


def test_should_execute_mixed_steps_with_parallel_optimization(trace: Trace) -> None:
    barrier = threading.Barrier(2)

    @step
    def GetStatusStep() -> None:
        trace.events.append("GetStatusStep")
        barrier.wait(WAIT_S)

    @step
    async def GetBranchStep() -> None:
        trace.events.append("GetBranchStep")
        await asyncio.to_thread(barrier.wait, WAIT_S)

    trace.add("CreateChatStep", critical=True)
    trace.add("DeleteChatStep", critical=True)
    result = execute_steps(["GetStatusStep", "CreateChatStep", "GetBranchStep", "DeleteChatStep"])
    assert result.ok
    assert result.mode == "hybrid"
    assert result.fallback is None
    assert trace.events[:2] == ["CreateChatStep", "DeleteChatStep"]
    assert set(trace.events[2:]) == {"GetStatusStep", "GetBranchStep"}
    assert trace.most_at_once == 1
    assert result.classification.counts == {"total": 4, "critical": 2, "non_critical": 2}
    assert [outcome.id for outcome in result.outcomes] == [
        "GetStatusStep",
        "CreateChatStep",
        "GetBranchStep",
        "DeleteChatStep",
    ]


def test_critical_steps_run_one_at_a_time_in_input_order(trace: Trace) -> None:
    names = [trace.add(f"Write{number}", critical=True) for number in range(8)]
    result = execute_steps(names)
    assert result.mode == "sequential"
    assert trace.events == names
    assert trace.most_at_once == 1


def test_no_more_run_at_once_than_allowed(trace: Trace) -> None:
    names = [trace.add(f"Read{number}", critical=False) for number in range(30)]
    assert ParallelExecutionEngine(max_concurrency=3).execute(names).ok
    assert trace.most_at_once == 3
    assert execute_steps(names, options={"max_concurrency": 2}).ok
    assert sorted(trace.events) == sorted(names * 2)


def test_overlapping_reads_do_not_wait_for_writes() -> None:
    barrier = threading.Barrier(2)

    @step(critical=True)
    def Write() -> None:
        barrier.wait(WAIT_S)

    @step(critical=False)
    def Read() -> None:
        barrier.wait(WAIT_S)

    assert execute_steps(["Write", "Read"], options={"order": "overlap"}).ok


def test_a_failed_critical_step_skips_the_critical_steps_after_it_only(trace: Trace) -> None:
    names = [
        trace.add("Write", critical=True),
        trace.add("Break", critical=True, fails=True),
        trace.add("Read", critical=False),
        trace.add("Publish", critical=True),
    ]
    result = execute_steps(names)
    assert list(statuses(result).values()) == ["succeeded", "failed", "succeeded", "skipped"]
    skipped = result["Publish"]
    assert error_of(skipped).message == "step Break before it did not succeed"
    assert skipped.attempts == 0
    assert skipped.worker is None


def test_a_failed_step_skips_all_steps_after_it_in_a_forced_sequence(trace: Trace) -> None:
    names = [
        trace.add("Break", critical=True, fails=True),
        trace.add("Read", critical=False),
        trace.add("Publish", critical=True),
    ]
    result = SequentialExecutionEngine().execute(names)
    assert list(statuses(result).values()) == ["failed", "skipped", "skipped"]


def test_the_simple_strategy_runs_on_after_a_failed_critical_step(trace: Trace) -> None:
    names = [trace.add("Break", critical=True, fails=True), trace.add("Publish", critical=True)]
    for result in (
        execute_steps(names, options={"strategy": "simple"}),
        SequentialExecutionEngine(strategy="simple").execute(names),
    ):
        assert list(statuses(result).values()) == ["failed", "succeeded"]


def test_a_sequential_engine_runs_reads_too_one_after_the_other(trace: Trace) -> None:
    names = [trace.add(f"Read{number}", critical=False) for number in range(5)]
    result = SequentialExecutionEngine().execute(names)
    assert result.mode == "sequential"
    assert trace.events == names
    assert trace.most_at_once == 1


def test_a_failed_read_in_a_sequence_skips_what_follows_unless_the_strategy_is_simple(trace: Trace) -> None:
    names = [trace.add("GetIt", critical=False, fails=True), trace.add("Write", critical=True)]
    calls = [{"name": names[0], "retries": 0}, names[1]]
    assert list(statuses(SequentialExecutionEngine().execute(calls)).values()) == ["failed", "skipped"]
    simple = SequentialExecutionEngine(strategy="simple").execute(calls)
    assert list(statuses(simple).values()) == ["failed", "succeeded"]


def test_a_failed_step_is_tried_again_after_its_delay() -> None:
    began: list[float] = []

    @step(critical=False)
    def GetFlakyStep(ctx: StepContext) -> list[Any]:
        began.append(time.monotonic())
        if ctx.attempt < 3:
            raise ValueError("not yet")
        return [ctx.attempt, ctx.effect_key == f"{ctx.run_id}/GetFlakyStep"]

    result = ParallelExecutionEngine(retries=2, retry_delay_s=0.02).execute(["GetFlakyStep"])
    outcome = result["GetFlakyStep"]
    assert outcome.value == [3, True]
    assert outcome.attempts == 3
    assert began[1] - began[0] >= 0.01, "half of the delay is not random"
    assert began[2] - began[1] >= 0.02


def test_others_use_the_place_of_a_step_that_waits_for_its_retry() -> None:
    second_ran = threading.Event()

    @step(critical=False, backoff="fixed", delay=0.01, retries=1)
    def First(ctx: StepContext) -> bool:
        if ctx.attempt == 1:
            raise ValueError("not yet")
        return second_ran.is_set()

    @step(critical=False)
    def Second() -> None:
        second_ran.set()

    result = execute_steps(["First", "Second"], options={"max_concurrency": 1})
    assert result["First"].value is True


def test_a_critical_step_that_waits_for_its_retry_holds_up_the_next() -> None:
    order: list[str] = []

    @step(critical=True, idempotent=True, backoff="fixed", delay=0.01)
    def First(ctx: StepContext) -> None:
        order.append("First")
        if ctx.attempt == 1:
            raise ValueError("not yet")

    @step(critical=True)
    def Second() -> None:
        order.append("Second")

    assert execute_steps(["First", "Second"]).ok
    assert order == ["First", "First", "Second"]


def test_a_critical_step_is_not_started_while_the_code_of_the_last_one_still_runs() -> None:
    inside, release = threading.Event(), threading.Event()
    events: list[str] = []

    @step(critical=True, timeout=SHORT_S)
    def Stuck() -> None:
        inside.set()
        release.wait(WAIT_S)
        events.append("Stuck returned")

    @step(critical=True)
    def After() -> None:
        events.append("After began")

    def release_later() -> None:
        inside.wait(WAIT_S)
        release.set()

    threading.Timer(0.1, release_later).start()
    while not inside.is_set():  # on a busy machine it may time out before its code begins
        events.clear()
        result = execute_steps(["Stuck", "After"], options={"strategy": "simple"})
        assert list(statuses(result).values()) == ["timed_out", "succeeded"]
    assert events == ["Stuck returned", "After began"]


def test_the_deadline_of_a_run_ends_what_runs_and_what_waits() -> None:
    release = threading.Event()

    @step(critical=True)
    def Stuck() -> None:
        release.wait(WAIT_S)

    @step(critical=True)
    def After() -> None: ...

    @step(critical=False)
    def Read() -> None: ...

    result = execute_steps(["Stuck", "After", "Read"], options={"deadline": 0.2, "strategy": "simple"})
    release.set()
    assert set(statuses(result).values()) == {"timed_out"}
    assert [outcome.attempts for outcome in result.outcomes] == [1, 0, 0]
    assert {error_of(outcome).type for outcome in result.outcomes} == {"DeadlineExceeded"}
    assert error_of(result["After"]).message == "the run reached its deadline before this step settled"
    assert result.total_ms < 5000


def test_a_retry_that_can_not_fit_before_the_deadline_is_not_waited_for() -> None:
    @step(critical=False, backoff="fixed", delay=3600)
    def Failing() -> None:
        raise ValueError("bad")

    outcome = execute_steps(["Failing"], options={"deadline": 60.0})["Failing"]
    assert outcome.status == "failed"
    assert "not_retried" in error_of(outcome).details


def test_later_steps_see_what_settled_by_id_and_position() -> None:
    @step(critical=True)
    def Making(ctx: StepContext) -> str:
        return f"{ctx.strategy} {sorted(ctx.results)}"

    @step(critical=False)
    def Reading(ctx: StepContext) -> Any:
        return [ctx.results["made"], ctx.results["step_1_result"], ctx.context["who"], ctx.fence]

    calls: list[Any] = ["Reading", {"name": "Making", "id": "made"}]
    result = execute_steps(calls, {"who": "me"})
    *seen, fence = result["Reading"].value
    assert seen == ["basic []", "basic []", "me"]
    assert fence > 1_600_000_000_000_000


def test_fences_grow_even_when_the_clock_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 5_000)
    fences = Fences()
    assert [fences.next() for _ in range(3)] == [5, 6, 7]


def test_a_result_that_is_not_json_fails_that_step_alone() -> None:
    @step(critical=False)
    def GetSetStep() -> dict[str, Any]:
        return {"a": {1}}

    @step(critical=False)
    def GetFineStep() -> int:
        return 1

    result = execute_steps(["GetSetStep", "GetFineStep"])
    assert list(statuses(result).values()) == ["failed", "succeeded"]
    assert error_of(result["GetSetStep"]).type == "InvalidResult"
    assert result["GetSetStep"].attempts == 1


def test_the_size_of_a_value_is_bounded_by_the_settings() -> None:
    @step(critical=False)
    def GetLongStep() -> str:
        return "x" * 100

    result = execute_steps(["GetLongStep"], settings=Settings(max_value_bytes=50))
    assert "larger than the 50 bytes" in error_of(result["GetLongStep"]).message


def test_params_that_stop_fitting_when_the_step_begins_fail_it() -> None:
    moods = iter([True])

    @step(critical=False)
    def GetMoodyStep(mood: "Moody") -> None: ...

    class Moody:
        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Callable[[Any], Any]) -> Any:
            from pydantic_core import core_schema

            def check(value: Any) -> Any:
                if not next(moods, False):
                    raise ValueError("not any more")
                return value

            return core_schema.no_info_plain_validator_function(check)

    globals()["Moody"] = Moody
    try:
        result = execute_steps([{"name": "GetMoodyStep", "params": {"mood": 1}}])
    finally:
        del globals()["Moody"]
    outcome = result["GetMoodyStep"]
    assert (outcome.status, outcome.attempts) == ("failed", 1)
    assert error_of(outcome).type == "InvalidParams"
    assert "not any more" in error_of(outcome).message


def test_an_empty_batch_settles_at_once() -> None:
    result = execute_steps([])
    assert result.ok
    assert result.outcomes == ()


def test_bad_input_is_refused_before_anything_is_run(trace: Trace) -> None:
    name = trace.add("Write", critical=True)
    with pytest.raises(UnknownStep, match="Wrote"):
        execute_steps([name, "Wrote"])
    with pytest.raises(InvalidBatch) as caught:
        execute_steps([name, {"name": name, "params": {"a": 1}}], options={"deadline": -1, "odd": 1})
    assert {one.path for one in caught.value.problems} == {"", "deadline", "steps[1].params.a"}
    assert "odd" in str(caught.value)
    with pytest.raises(InvalidBatch, match="mode parallel would run it beside others"):
        ParallelExecutionEngine().execute([name])
    assert trace.events == []


def test_step_modules_of_the_settings_are_imported_when_a_name_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def load(modules: Any) -> None:
        asked.append(modules)

        @step
        def GetLateStep() -> None: ...

    monkeypatch.setattr(engines, "load_step_modules", load)
    engines._load_once.cache_clear()
    settings = Settings(step_modules=("late_steps",))
    assert execute_steps(["GetLateStep"], settings=settings).ok
    assert execute_steps(["GetLateStep"], settings=settings).ok
    engines._load_once.cache_clear()
    assert asked == [("late_steps",)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: ParallelExecutionEngine(max_concurrency=0),
        lambda: ParallelExecutionEngine(timeout_s=0),
        lambda: ParallelExecutionEngine(retries=-1),
        lambda: ParallelExecutionEngine(retries=True),
        lambda: ParallelExecutionEngine(retry_delay_s=-1),
        lambda: SequentialExecutionEngine(strategy="quick"),  # type: ignore[arg-type]
    ],
)
def test_an_engine_refuses_values_out_of_their_range(make: Callable[[], Any]) -> None:
    with pytest.raises(SettingsError, match="must be"):
        make()


def test_the_settings_of_the_process_are_read_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("STEPLINE_INLINE_EXECUTIONS", "7")
    engines._settings_of_process.cache_clear()
    try:
        assert SequentialExecutionEngine().metrics() == {"active_executions": 0, "max_executions": 7}
    finally:
        engines._settings_of_process.cache_clear()


def test_executions_beyond_the_bound_are_refused() -> None:
    inside, release = threading.Barrier(3), threading.Event()

    @step(critical=False)
    def Holding() -> None:
        inside.wait(WAIT_S)
        release.wait(WAIT_S)

    settings = Settings(inline_executions=2)
    engine = ParallelExecutionEngine(settings=settings)
    callers = [threading.Thread(target=engine.execute, args=(["Holding"],)) for _ in range(2)]
    for caller in callers:
        caller.start()
    inside.wait(WAIT_S)
    assert engine.metrics() == {"active_executions": 2, "max_executions": 2}
    with pytest.raises(QueueFull, match="STEPLINE_INLINE_EXECUTIONS") as caught:
        execute_steps(["Holding"], settings=settings)
    assert (caught.value.pending, caught.value.limit) == (2, 2)
    release.set()
    for caller in callers:
        caller.join(WAIT_S)
    assert engine.metrics()["active_executions"] == 0


def test_a_refused_batch_gives_its_place_back() -> None:
    with pytest.raises(UnknownStep):
        execute_steps(["Nobody"])
    assert active_executions() == 0


def test_a_forked_child_counts_its_own_executions_only() -> None:
    with admitted(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            os._exit(active_executions())
    assert os.waitpid(child, 0)[1] == 0


def test_fifty_threads_execute_at_once() -> None:
    @step(critical=False)
    def Echo(number: int) -> int:
        return number

    @step(critical=False)
    async def EchoLater(number: int) -> int:
        await asyncio.sleep(0)
        return number

    values: dict[int, list[Any]] = {}

    def execute(number: int) -> None:
        params = {"number": number}
        calls = [{"name": name, "params": params} for name in ("Echo", "EchoLater")]
        values[number] = [outcome.value for outcome in execute_steps(calls).outcomes]

    callers = [threading.Thread(target=execute, args=(number,)) for number in range(50)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(WAIT_S)
    assert values == {number: [number, number] for number in range(50)}


def test_a_step_may_execute_steps_itself() -> None:
    @step(critical=False)
    def Inner() -> int:
        return 1

    @step(critical=False)
    async def InnerLater() -> int:
        await asyncio.sleep(0)
        return 2

    def both() -> int:
        return sum(outcome.value for outcome in execute_steps(["Inner", "InnerLater"]).outcomes)

    @step(critical=False)
    def Outer() -> int:
        return both()

    @step(critical=False)
    async def OuterLater() -> int:
        return both()

    result = execute_steps(["Outer", "OuterLater"])
    assert [outcome.value for outcome in result.outcomes] == [3, 3]


def test_a_time_out_of_the_calling_step_passes_through_and_stops_what_runs() -> None:
    contexts: list[StepContext] = []

    class AlarmedSide(SideBySide):
        def wait(self, timeout_s: float | None = None) -> Any:
            inside.wait(WAIT_S)
            raise StepTimeout(1.0)

    inside, release = threading.Event(), threading.Event()

    @step(critical=False)
    def Stuck(ctx: StepContext) -> None:
        contexts.append(ctx)
        inside.set()
        release.wait(WAIT_S)

    plan = plan_here(["Stuck"], None, None, SETTINGS)
    with pytest.raises(StepTimeout):
        execution.run_plan(plan, find=StepRegistry().get, settings=SETTINGS, make_side=AlarmedSide)
    assert contexts[0].cancelled
    release.set()
    assert active_executions() == 0


def test_a_critical_step_under_way_when_the_machinery_breaks_is_lost_and_not_run_again(
    trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BrokenSide(SideBySide):
        def start(self, attempt: Any) -> None:
            if not attempt.definition.critical:
                raise RuntimeError("can't start new thread")
            super().start(attempt)

    names = [trace.add(name, critical=name != "Read") for name in ("Write", "Read", "Publish")]
    plan = plan_here(names, None, {"order": "overlap"}, SETTINGS)
    result = execution.run_plan(plan, find=StepRegistry().get, settings=SETTINGS, make_side=BrokenSide)
    assert statuses(result) == {"Write": "lost", "Read": "succeeded", "Publish": "skipped"}
    assert result["Write"].attempts == 1
    assert result.fallback is not None


def test_steps_that_no_thread_at_all_can_be_had_for_are_cancelled_saying_so(
    trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BrokenSide(SideBySide):
        def start(self, attempt: Any) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(execution, "SideBySide", BrokenSide)
    names = [trace.add("Read", critical=False)]
    plan = plan_here(names, None, None, SETTINGS)
    result = execution.run_plan(plan, find=StepRegistry().get, settings=SETTINGS, make_side=BrokenSide)
    outcome = result["Read"]
    assert (outcome.status, outcome.attempts) == ("cancelled", 0)
    assert error_of(outcome).message == "can't start new thread"


def test_the_completion_body_runs_last_and_knows_outcomes_and_the_run_by_its_effect_key() -> None:
    seen: list[Any] = []

    @step(critical=False)
    def Reading() -> int:
        return 1

    @step(critical=True)
    def Finishing(outcomes: list[dict[str, Any]], ctx: StepContext) -> None:
        seen.append((dict(ctx.results), ctx.effect_key == ctx.run_id, outcomes))

    result = execute_steps(["Reading"], options={"then": "Finishing"})
    assert [outcome.id for outcome in result.outcomes] == ["Reading"]
    outcomes = [outcome.as_dict() for outcome in result.outcomes]
    assert seen == [({"Reading": 1, "step_0_result": 1}, True, outcomes)]


def test_a_completion_body_that_fails_is_logged_and_changes_no_outcome(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @step(critical=True)
    def Finishing() -> None:
        raise ValueError("no end")

    with caplog.at_level(logging.WARNING):
        assert execute_steps([], options={"then": "Finishing"}).ok
    assert "its completion body failed" in caplog.text
    assert "no end" in caplog.text


def test_a_completion_body_runs_after_a_fallback_too() -> None:
    ran: list[Any] = []

    @step(critical=False)
    def Reading() -> None: ...

    @step(critical=True)
    def Finishing(outcomes: list[Any]) -> None:
        ran.append([outcome["status"] for outcome in outcomes])

    class BrokenSide(SideBySide):
        def start(self, attempt: Any) -> None:
            if self.running and not attempt.definition.critical:
                raise RuntimeError("can't start new thread")
            super().start(attempt)

    plan = plan_here(["Reading", "Reading"], None, {"then": "Finishing"}, SETTINGS)
    result = execution.run_plan(
        plan, find=StepRegistry().get, settings=SETTINGS, make_side=BrokenSide, fallback="no broker"
    )
    assert result.ok
    assert result.fallback == (
        "no broker; the steps left ran one after the other, as side by side broke: can't start new thread"
    )
    assert ran == [["succeeded", "succeeded"]]


def test_a_run_says_why_it_runs_here_if_it_was_meant_to_run_elsewhere() -> None:
    plan = plan_here([], None, None, SETTINGS)
    result = execution.run_plan(plan, find=StepRegistry().get, settings=SETTINGS, run_id="mine", fallback="no broker")
    assert (result.run_id, result.fallback) == ("mine", "no broker")


def test_a_name_and_a_priority_are_taken_here_and_change_nothing() -> None:
    trace = Trace()
    trace.add("GetIt", critical=False)
    assert execute_steps(["GetIt"], options={"name": "view 42", "priority": "high", "after": None}).ok
    with pytest.raises(InvalidBatch, match="priority: must be one of normal, high"):
        execute_steps(["GetIt"], options={"priority": "urgent"})


@pytest.mark.parametrize(
    "engine", [ParallelExecutionEngine(settings=SETTINGS), SequentialExecutionEngine(settings=SETTINGS)]
)
def test_runs_to_wait_for_are_refused_here_where_there_are_none(engine: Any) -> None:
    trace = Trace()
    trace.add("GetIt", critical=False)
    for execute in (execute_steps, engine.execute):
        with pytest.raises(InvalidBatch) as refused:
            execute(["GetIt"], options={"after": ["0190f0"]})
        (problem,) = refused.value.problems
        assert problem.path == "after"
        assert problem.message.startswith("needs a site")
    assert trace.events == []


def test_limits_over_the_site_do_not_hold_here() -> None:
    both = threading.Barrier(2, timeout=WAIT_S)

    @step(critical=False, max_running=1, rate="1/h")
    def GetOne() -> int:
        return both.wait()

    result = execute_steps(["GetOne", "GetOne"])
    assert sorted(outcome.value for outcome in result.outcomes) == [0, 1]
