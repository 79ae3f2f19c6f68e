"""One attempt: its preparation, the calling of its code, and what follows from each end."""

import asyncio
import json
import os
from contextvars import ContextVar
from random import Random
from typing import Any

import pytest

from steps.attempt import (
    Attempt,
    Decided,
    Decision,
    Died,
    End,
    Overran,
    Raised,
    RetryLater,
    Returned,
    Settle,
    Stopped,
    ValueLimits,
    decide,
    prepare,
)
from steps.call import StepCall
from steps.calling import call_blocking, call_coroutine, end_of_blocking, end_of_coroutine
from steps.context import StepContext, StepResults, running_step
from steps.decorator import define
from steps.errors import Retry, StepTimeout
from steps.outcome import OutcomeError
from tests.support.attempts import attempt_of

seen: ContextVar[str] = ContextVar("seen", default="nothing")


def decided(attempt: Attempt, end: End, **given: Any) -> Decision:
    return decide(attempt, end, rng=Random(1), **{"limits": ValueLimits(), **given})


def settled(attempt: Attempt, end: End, **given: Any) -> Settle:
    decision = decided(attempt, end, **given)
    assert isinstance(decision, Settle), decision
    return decision


def error_of(settle: Settle) -> OutcomeError:
    assert settle.error is not None
    return settle.error


def nothing() -> None: ...


def test_params_that_do_not_fit_settle_as_failed_at_once() -> None:
    def Reading(path: str) -> None: ...

    context = StepContext(run_id="r", step_id="one", context={}, results={})
    refused = prepare(define(Reading), StepCall("one", "Reading", {"pth": 1}, retries=5), context=context)
    assert isinstance(refused, Settle)
    assert refused.status == "failed"
    error = error_of(refused)
    assert error.type == "InvalidParams"
    assert [one["path"] for one in error.details["problems"]] == ["params.path", "params.pth"]


def test_the_time_out_is_the_lesser_of_the_calls_and_what_is_left_of_the_run() -> None:
    assert attempt_of(nothing, timeout_s=5).timeout_s == 5
    assert attempt_of(nothing, timeout_s=5, limit_s=2).timeout_s == 2
    assert attempt_of(nothing, timeout_s=5, limit_s=20).timeout_s == 5


def test_a_begun_attempt_knows_its_deadline_and_so_does_its_step() -> None:
    attempt = attempt_of(nothing, timeout_s=5)
    assert attempt.context.remaining_s == float("inf")
    attempt.begin(100.0)
    assert attempt.deadline == 105.0
    assert attempt.context.deadline == 105.0
    attempt.ended = 100.5
    assert attempt.ran_ms == 500.0


def test_a_step_receives_its_arguments_and_its_context() -> None:
    def Reading(path: str, ctx: Any, limit: int = 3) -> list[Any]:
        return [path, limit, ctx.run_id, ctx.step_id, ctx.attempt, ctx.effect_key, ctx.context["mode"]]

    attempt = attempt_of(Reading, params={"path": "."}, context={"mode": "x"}, failures=1)
    assert call_blocking(attempt) == [".", 3, "run", "one", 2, "run/one", "x"]


def test_what_an_attempt_does_to_its_arguments_the_next_does_not_see() -> None:
    def Growing(items: list[Any]) -> list[Any]:
        items.append(len(items))
        return items

    params: dict[str, Any] = {"items": []}
    assert call_blocking(attempt_of(Growing, params=params)) == [0]
    assert call_blocking(attempt_of(Growing, params=params)) == [0]


def test_an_instance_is_made_for_each_attempt() -> None:
    made = []

    class Counting:
        def __init__(self) -> None:
            made.append(self)

        def execute(self) -> int:
            return len(made)

    assert [call_blocking(attempt_of(Counting)) for _ in range(2)] == [1, 2]


def test_a_coroutine_step_is_awaited_with_its_context() -> None:
    class Waiting:
        async def execute(self, ctx: Any) -> tuple[str, bool]:
            return ctx.step_id, running_step() is ctx

    assert asyncio.run(call_coroutine(attempt_of(Waiting))) == ("one", True)


def test_the_running_step_is_known_inside_it_and_only_there() -> None:
    def Looking(ctx: Any) -> bool:
        return running_step() is ctx

    assert call_blocking(attempt_of(Looking)) is True
    assert running_step() is None


def test_context_variables_of_a_step_stay_its_own() -> None:
    def Setting() -> str:
        before = seen.get()
        seen.set("mine")
        return before

    attempt = attempt_of(Setting)
    assert [call_blocking(attempt), call_blocking(attempt), seen.get()] == ["nothing"] * 3


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_nothing_a_step_raises_gets_past_its_attempt(error: BaseException) -> None:
    def Raising() -> None:
        raise error

    async def RaisingLater() -> None:
        raise error

    assert end_of_blocking(attempt_of(Raising)) == Raised(error)
    assert asyncio.run(end_of_coroutine(attempt_of(RaisingLater))) == Raised(error)


def test_a_blocking_step_that_returns_a_coroutine_is_told_to_be_async() -> None:
    async def later() -> None: ...

    def Forgetful() -> Any:
        return later()

    end = end_of_blocking(attempt_of(Forgetful))
    assert isinstance(end, Raised)
    assert "declare it with async def" in str(end.error)


def test_a_returned_value_settles_as_succeeded() -> None:
    def Listing() -> list[int]: ...  # type: ignore[empty-body]

    assert settled(attempt_of(Listing), Returned([1])) == Settle("succeeded", [1])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({1, 2}, "valid JSON value"),
        (float("nan"), "value: is nan, which JSON can't hold"),
        ("\ud800", "lone surrogate"),
        ("x" * 1_048_576, "larger than the 1048576 bytes"),
        (["x" * 1_048_571, 1], "bytes of JSON"),
        (2**4000, "integer"),
    ],
)
def test_a_result_that_can_not_travel_fails_that_step_and_is_not_tried_again(value: Any, said: str) -> None:
    def Returning():  # type: ignore[no-untyped-def]
        ...

    settle = settled(attempt_of(Returning, retries=5), Returned(value))
    assert settle.status == "failed"
    assert settle.value is None
    assert error_of(settle).type == "InvalidResult"
    assert said in error_of(settle).message
    json.dumps(error_of(settle).as_dict()).encode()


def test_a_result_nested_too_deep_is_refused() -> None:
    value: list[Any] = []
    for _ in range(40):
        value = [value]

    def Returning():  # type: ignore[no-untyped-def]
        ...

    assert "nested more than 32 deep" in error_of(settled(attempt_of(Returning), Returned(value))).message


def test_an_overrun_settles_as_timed_out_and_is_not_tried_again() -> None:
    settle = settled(attempt_of(nothing, timeout_s=2.5, retries=5), Overran())
    assert settle.status == "timed_out"
    assert error_of(settle) == OutcomeError("StepTimeout", "the attempt took longer than its time-out of 2.5 s")


def test_an_overrun_at_the_runs_deadline_says_so() -> None:
    error = error_of(settled(attempt_of(nothing, timeout_s=5, limit_s=2), Overran()))
    assert error.type == "DeadlineExceeded"
    assert "when this step had run for 2 s" in error.message


def test_the_time_out_raised_inside_a_step_counts_as_an_overrun() -> None:
    assert settled(attempt_of(nothing, retries=5), Raised(StepTimeout(1.0))).status == "timed_out"


def test_a_stopped_attempt_is_cancelled_with_the_reason() -> None:
    settle = settled(attempt_of(nothing, retries=5), Stopped("the run was cancelled"))
    assert settle == Settle("cancelled", error=OutcomeError("Stopped", "the run was cancelled"))


def test_a_failure_is_tried_again_until_its_retries_are_used_up() -> None:
    failure = Raised(ValueError("bad"))
    first = decided(attempt_of(nothing, retries=2), failure)
    assert isinstance(first, RetryLater)
    assert first.delay_s == 2.0
    assert first.error.type == "ValueError"
    assert isinstance(decided(attempt_of(nothing, retries=2, failures=1), failure), RetryLater)
    last = settled(attempt_of(nothing, retries=2, failures=2), failure)
    assert last.status == "failed"
    assert error_of(last).message == "bad"


def test_a_retry_that_can_not_fit_into_the_run_is_not_begun() -> None:
    attempt = attempt_of(nothing, retries=5)
    settle = settled(attempt, Raised(ValueError("bad")), run_remaining_s=1.5)
    assert settle.status == "failed"
    assert error_of(settle).message == "bad"
    assert error_of(settle).details["not_retried"] == "the next attempt was due in 2 s, and the run had 1.5 s left"
    assert isinstance(decided(attempt, Raised(ValueError("bad")), run_remaining_s=2.5), RetryLater)


@pytest.mark.parametrize(
    ("options", "error", "is_tried_again"),
    [
        ({}, ValueError(), True),
        ({"retry_on": ConnectionError}, ConnectionResetError(), True),
        ({"retry_on": (ConnectionError, LookupError)}, KeyError(), True),
        ({"retry_on": ConnectionError}, ValueError(), False),
        ({"give_up_on": ValueError}, UnicodeError(), False),
        ({"give_up_on": ValueError}, KeyError(), True),
        ({"retry_on": OSError, "give_up_on": FileNotFoundError}, FileNotFoundError(), False),
        ({"retry_on": OSError, "give_up_on": FileNotFoundError}, PermissionError(), True),
        ({"retry_on": OSError, "give_up_on": Exception}, Retry(), True),
    ],
    ids=str,
)
def test_a_step_says_after_which_errors_it_is_tried_again(
    options: dict[str, Any], error: Exception, is_tried_again: bool
) -> None:
    decision = decided(attempt_of(nothing, retries=5, **options), Raised(error))
    assert isinstance(decision, RetryLater) == is_tried_again


def test_a_step_may_ask_to_be_tried_again_after_a_time_of_its_own() -> None:
    asked = Raised(Retry(after=7.5, reason="the store is busy"))
    decision = decided(attempt_of(nothing, retries=1), asked)
    assert isinstance(decision, RetryLater)
    assert (decision.delay_s, decision.error.type, decision.error.message) == (7.5, "Retry", "the store is busy")
    assert decided(attempt_of(nothing, retries=1), Raised(Retry())) != decision
    assert settled(attempt_of(nothing, retries=1, failures=1), asked).status == "failed"
    assert "not_retried" in error_of(settled(attempt_of(nothing, retries=1), asked, run_remaining_s=7.0)).details


@pytest.mark.parametrize("after", [-1.0, 1e9])
def test_a_retry_after_an_impossible_time_is_refused_where_it_is_made(after: float) -> None:
    with pytest.raises(ValueError, match="a retry is after 0 to 86400 seconds"):
        Retry(after=after)


@pytest.mark.parametrize("end", [Overran(), Raised(StepTimeout(1.0))])
def test_a_time_out_is_tried_again_only_where_the_step_says_so(end: End) -> None:
    assert isinstance(decided(attempt_of(nothing, retries=1, retry_on=StepTimeout), end), RetryLater)
    assert isinstance(decided(attempt_of(nothing, retries=1, retry_on=Exception), end), RetryLater)
    assert settled(attempt_of(nothing, retries=1, retry_on=ValueError), end).status == "timed_out"
    assert settled(attempt_of(nothing, retries=1, failures=1, retry_on=StepTimeout), end).status == "timed_out"


def test_a_time_out_at_the_runs_deadline_is_not_tried_again() -> None:
    attempt = attempt_of(nothing, timeout_s=5, limit_s=2, retries=1, retry_on=StepTimeout)
    assert settled(attempt, Overran()).status == "timed_out"


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_leaving_the_process_is_a_failure_of_the_step_like_any_other(error: BaseException) -> None:
    assert error_of(settled(attempt_of(nothing), Raised(error))).type == type(error).__name__


def test_the_traceback_begins_in_the_steps_own_code() -> None:
    def Raising() -> None:
        raise ValueError("here")

    error = error_of(settled(attempt_of(Raising), end_of_blocking(attempt_of(Raising))))
    assert "in Raising" in error.details["traceback"]
    assert "calling.py" not in error.details["traceback"]


def test_a_runaway_recursion_keeps_the_end_of_its_traceback_within_bounds() -> None:
    def Deep() -> None:
        Deep()

    error = error_of(settled(attempt_of(Deep), end_of_blocking(attempt_of(Deep))))
    assert error.type == "RecursionError"
    assert len(error.details["traceback"].encode()) <= 4096
    assert error.details["traceback"].rstrip().endswith("maximum recursion depth exceeded")


def test_messages_are_bounded_and_fit_into_json() -> None:
    class Hostile(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no message for you")

    long = error_of(settled(attempt_of(nothing), Raised(ValueError("é" * 9000))))
    assert len(long.message.encode()) <= 4096
    odd = error_of(settled(attempt_of(nothing), Raised(ValueError("\ud800"))))
    assert odd.message == "\\ud800"
    json.dumps(odd.as_dict(), ensure_ascii=False).encode()
    hidden = error_of(settled(attempt_of(nothing), Raised(Hostile())))
    assert hidden.message == "(the message of this Hostile can't be read)"


def test_a_steps_context_can_not_be_changed_by_assignment_of_keys() -> None:
    context = StepContext(run_id="r", step_id="s", context={"a": 1}, results={})
    with pytest.raises(TypeError):
        context.context["a"] = 2  # type: ignore[index]


def test_what_a_step_changes_inside_its_context_nobody_else_sees() -> None:
    shared = {"a": ["b"]}
    first, second = (StepContext(run_id="r", step_id="s", context=shared, results={}) for _ in range(2))
    first.context["a"].append("c")
    assert first.context["a"] == ["b", "c"]
    assert second.context["a"] == shared["a"] == ["b"]


def test_cancelling_is_seen_and_time_runs_down_to_nothing() -> None:
    context = StepContext(run_id="r", step_id="s", context={}, results={}, effect_key="own", deadline=float("-inf"))
    assert context.effect_key == "own"
    assert context.remaining_s == 0.0
    assert not context.cancelled
    context.cancel()
    assert context.cancelled


def test_results_are_found_by_id_and_by_position() -> None:
    results = StepResults()
    results.add("first", 0, "a")
    results.add("step_0_result", 4, "an id that looks like a position")
    results.add("other", 1, None)
    assert dict(results) == {
        "first": "a",
        "step_0_result": "an id that looks like a position",
        "step_4_result": "an id that looks like a position",
        "other": None,
        "step_1_result": None,
    }
    assert len(results) == 5
    seen_while_growing = []
    for key in results:
        results.add(f"later_{key}", 9, key)
        seen_while_growing.append(key)
    assert len(seen_while_growing) == 5


def test_a_fork_of_a_step_that_returns_ends_there() -> None:
    def ForkingStep() -> int:
        return os.fork() or os.getpid()

    definition = define(ForkingStep)
    context = StepContext(run_id="r", step_id="s", context={}, results={})
    attempt = prepare(definition, StepCall("s", "ForkingStep"), context=context)
    assert isinstance(attempt, Attempt)
    end = end_of_blocking(attempt)
    assert isinstance(end, Returned)
    assert os.waitstatus_to_exitcode(os.waitpid(end.value, 0)[1]) == 0


def test_what_was_decided_in_a_process_of_its_own_stays_decided() -> None:
    for decision in (Settle("succeeded", [1]), RetryLater(2.0, OutcomeError("ValueError", "no luck"))):
        assert decided(attempt_of(nothing), Decided(decision)) is decision


def test_a_death_that_nobody_counts_is_final() -> None:
    lost = settled(attempt_of(nothing, retries=5), Died("its process was ended by SIGKILL"))
    assert (lost.status, error_of(lost).type) == ("lost", "WorkerLost")
