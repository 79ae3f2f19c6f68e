"""The pipeline of a prefork child, in this process's main thread."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from steps import step
from steps.context import StepContext
from steps.errors import BrokerUnavailable, StepTimeout
from steps.ledger.records import Beat
from steps.registry import StepRegistry
from tests.support.worker_kits import WORKER, Workshop
from workers import child_signals as signals_module
from workers import kit as kit_module
from workers import serial as serial_module
from workers.child_board import ChildBoard
from workers.serial import REFUSED_EXIT, SerialPipeline

LONG_S = 20.0
SLOT = 2


class Exited(BaseException):
    """Stands for the end of the process."""


class Child:
    """A workshop with the pipeline of one child."""

    def __init__(self, **settings: Any) -> None:
        self.workshop = Workshop(**settings)
        self.board = ChildBoard(2)
        self.pipeline = SerialPipeline(kit=self.workshop.kit, board=self.board, slot=SLOT)

    def run(self, *steps: Any, **options: Any) -> str:
        run_id = self.workshop.open(steps, **options)
        self.workshop.work_off(self.pipeline.run)
        return run_id


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    def leave(code: int) -> None:
        raise Exited(code)

    monkeypatch.setattr(serial_module.os, "_exit", leave)
    monkeypatch.setattr(kit_module, "FIRST_PAUSE_S", 0.0)
    handler = signal.getsignal(signal.SIGALRM)
    with StepRegistry().isolated():
        yield Child()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, handler)


def test_the_steps_of_a_parcel_run_in_order_each_seeing_what_came_before(child: Child) -> None:
    seen = []

    @step(critical=True)
    def WriteStep(ctx: StepContext, value: int) -> int:
        seen.append((value, dict(ctx.results)))
        return value

    run_id = child.run(*({"name": "WriteStep", "params": {"value": value}} for value in (1, 2, 3)))
    first, second = {"WriteStep": 1, "step_0_result": 1}, {"WriteStep_2": 2, "step_1_result": 2}
    assert seen == [(1, {}), (2, first), (3, first | second)]
    outcomes = child.workshop.outcomes(run_id)
    assert [(one.status, one.value, one.attempts, one.worker) for one in outcomes] == [
        ("succeeded", value, 1, WORKER) for value in (1, 2, 3)
    ]
    assert child.board.holds() == []
    assert child.workshop.claims() == []


def test_what_a_child_has_published_is_told_with_its_next_claim(child: Child) -> None:
    @step(critical=True, lane="of {name}")
    def WriteStep(name: str) -> None: ...

    shop = child.workshop
    first, behind, other = (shop.open([{"name": "WriteStep", "params": {"name": name}}]) for name in ("a", "a", "b"))
    shop.publisher.take_marks()
    child.pipeline.run(first, 0)
    assert shop.publisher.sent[-1].run_id == behind
    assert shop.client.hget(f"stepline:v1:run:{behind}", "pub0") == b""
    child.pipeline.run(other, 0)
    assert shop.client.hget(f"stepline:v1:run:{behind}", "pub0") == b"1"


def test_a_message_for_what_is_done_or_gone_is_dropped(child: Child) -> None:
    ran = []

    @step(critical=True)
    def WriteStep() -> None:
        ran.append(1)

    run_id = child.run("WriteStep")
    child.pipeline.run(run_id, 0)
    child.pipeline.run("never was", 0)
    assert ran == [1]


def test_what_a_child_runs_stands_on_its_board(child: Child) -> None:
    holds = []

    @step(critical=True, timeout=7)
    def WriteStep(ctx: StepContext) -> None:
        holds.extend((hold, ctx.fence, ctx.remaining_s) for hold in child.board.holds())

    run_id = child.run("WriteStep")
    ((hold, fence, remaining_s),) = holds
    assert (hold.slot, hold.run_id, hold.parcel, hold.index, hold.fence, hold.attempt) == (SLOT, run_id, 0, 0, fence, 1)
    assert 0 < remaining_s <= hold.deadline_s - hold.began_s == pytest.approx(7)


@pytest.mark.parametrize(
    ("options", "deadline", "retry_s"),
    [
        ({"retry_on": StepTimeout}, 60, 2.0),
        ({"retry_on": StepTimeout}, 8, None),
        ({"retry_on": OSError}, 60, None),
        ({}, 60, None),
    ],
)
def test_the_board_says_whether_a_step_is_tried_again_should_it_have_to_be_killed(
    child: Child, options: dict[str, Any], deadline: float, retry_s: float | None
) -> None:
    holds = []

    @step(critical=True, timeout=6, retries=1, delay=2, backoff="fixed", jitter=False, **options)
    def WriteStep() -> None:
        holds.extend(child.board.holds())

    child.run("WriteStep", deadline=deadline)
    assert [hold.retry_s for hold in holds] == [retry_s]


def test_a_step_that_overruns_is_stopped_and_the_next_one_runs(child: Child) -> None:
    @step(critical=True)
    def WriteStep(ctx: StepContext, wait_s: float) -> float:
        threading.Event().wait(wait_s)
        return wait_s

    calls = [
        {"name": "WriteStep", "params": {"wait_s": LONG_S}, "timeout": 0.03},
        {"name": "WriteStep", "params": {"wait_s": 0.0}},
    ]
    run_id = child.run(*calls, strategy="simple")
    assert child.workshop.statuses(run_id) == ["timed_out", "succeeded"]


def test_a_step_that_swallows_its_time_out_has_overrun_all_the_same(child: Child) -> None:
    @step(critical=True, timeout=0.03)
    def WriteStep() -> str:
        try:
            threading.Event().wait(LONG_S)
        except StepTimeout:
            return "cleaned up"
        return "overslept"

    outcome = child.workshop.outcome(child.run("WriteStep"))
    assert (outcome.status, outcome.value) == ("timed_out", None)


def test_a_step_that_answers_its_time_out_with_another_error_has_overrun_all_the_same(child: Child) -> None:
    @step(critical=True, timeout=0.03, retries=3, idempotent=True)
    def WriteStep() -> None:
        try:
            threading.Event().wait(LONG_S)
        except StepTimeout as error:
            raise ConnectionError("as if it were ours") from error

    outcome = child.workshop.outcome(child.run("WriteStep"))
    assert (outcome.status, outcome.attempts) == ("timed_out", 1)


def test_a_time_out_that_a_step_raises_by_itself_is_one(child: Child) -> None:
    @step(critical=True)
    def WriteStep() -> None:
        raise StepTimeout(1.0)

    assert child.workshop.outcome(child.run("WriteStep")).status == "timed_out"


def test_a_step_whose_stop_is_asked_for_is_cancelled(child: Child) -> None:
    @step(critical=True)
    def WriteStep(ctx: StepContext) -> None:
        child.board.ask_to_stop(SLOT, ctx.fence)
        signal.raise_signal(signal.SIGALRM)
        threading.Event().wait(LONG_S)

    assert child.workshop.outcome(child.run("WriteStep")).status == "cancelled"


def test_a_stop_that_was_meant_for_another_attempt_stops_nothing(child: Child) -> None:
    @step(critical=True)
    def WriteStep(ctx: StepContext) -> str:
        child.board.ask_to_stop(SLOT, ctx.fence - 1)
        signal.raise_signal(signal.SIGALRM)
        return "done"

    assert child.workshop.outcome(child.run("WriteStep")).value == "done"


def test_coroutines_run_are_stopped_and_cancelled_too(child: Child) -> None:
    ends = []

    @step(critical=True)
    async def WriteStep(ctx: StepContext, how: str) -> str:
        if how == "stopped":
            child.board.ask_to_stop(SLOT, ctx.fence)
        try:
            await asyncio.sleep(0 if how == "done" else LONG_S)
        except asyncio.CancelledError:
            ends.append(how)
            raise
        return how

    calls = [
        {"name": "WriteStep", "params": {"how": how}, "timeout": 0.05 if how == "overran" else 10}
        for how in ("done", "overran", "stopped")
    ]
    run_id = child.run(*calls, strategy="simple")
    assert child.workshop.statuses(run_id) == ["succeeded", "timed_out", "cancelled"]
    assert ends == ["overran", "stopped"]


def test_a_coroutine_that_swallows_its_cancellation_holds_the_lane_until_its_code_has_returned(child: Child) -> None:
    told = []

    @step(critical=True, timeout=0.05)
    async def WriteStep(ctx: StepContext, how: str) -> None:
        if how == "stopped":
            child.board.ask_to_stop(SLOT, ctx.fence)
        for part in ("begins", "cleans up", "ends") if how != "last" else ("is last",):
            told.append(f"{how} {part}")
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.3)

    calls = [{"name": "WriteStep", "params": {"how": how}} for how in ("overran", "stopped", "last")]
    run_id = child.run(*calls, strategy="simple")
    assert child.workshop.statuses(run_id)[:2] == ["timed_out", "timed_out"]
    assert told == [
        *("overran begins", "overran cleans up", "overran ends"),
        *("stopped begins", "stopped cleans up", "stopped ends"),
        "last is last",
    ]


def test_whatever_a_step_raises_is_its_failure_alone(child: Child) -> None:
    @step(critical=True)
    def WriteStep(kind: str) -> None:
        raise {"exit": SystemExit(3), "interrupt": KeyboardInterrupt(), "error": ValueError("no")}[kind]

    calls = [{"name": "WriteStep", "params": {"kind": kind}} for kind in ("exit", "interrupt", "error")]
    run_id = child.run(*calls, strategy="simple")
    assert child.workshop.statuses(run_id) == ["failed"] * 3
    errors = [one.error.type for one in child.workshop.outcomes(run_id) if one.error]
    assert errors == ["SystemExit", "KeyboardInterrupt", "ValueError"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_child_told_to_end_finishes_its_step_and_leaves_the_next_to_others(
    child: Child, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    left = []
    monkeypatch.setattr(signals_module.ChildSignals, "_leave", lambda _: left.append("left"))

    @step(critical=True)
    def WriteStep() -> str:
        signal.raise_signal(number)
        return "done"

    before = signal.getsignal(number)
    run_id = child.workshop.open(["WriteStep", "WriteStep"])
    child.pipeline.run(run_id, child.workshop.publisher.take()[0].parcel)
    assert [one.value for one in child.workshop.outcomes(run_id)] == ["done"]
    assert [parcel.run_id for parcel in child.workshop.publisher.take()] == [run_id]
    assert (left, signal.getsignal(number)) == (["left"], before)


def test_a_child_that_was_told_to_end_does_so_as_an_idle_one(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    told = threading.Event()
    monkeypatch.setattr(signals_module, "LEAVE_AFTER_S", 0.0)

    @step(critical=True)
    def WriteStep() -> None:
        signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: told.set())
    try:
        child.run("WriteStep")
        assert told.wait(LONG_S)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_child_told_to_end_at_once_gives_its_step_back(child: Child) -> None:
    ended: list[BaseException] = []

    @step(critical=True)
    def WriteStep() -> None:
        try:
            signal.raise_signal(signal.SIGQUIT)
        except Exited as error:
            ended.append(error)
            assert child.board.holds()[0].is_given_back

    child.run("WriteStep")
    assert [error.args for error in ended] == [(signals_module.QUIT_EXIT,)]


def test_a_step_that_takes_the_signals_away_costs_the_next_parcel_nothing(child: Child) -> None:
    @step(critical=True)
    def WriteStep() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    @step(critical=True)
    def WriteNextStep() -> bool:
        return signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, [])

    child.run("WriteStep")
    assert child.workshop.outcome(child.run("WriteNextStep")).value is False


def test_a_failed_step_waits_for_its_retry_in_the_ledger(child: Child) -> None:
    @step(critical=True, idempotent=True, retries=1, delay=5, backoff="fixed", jitter=False)
    def WriteStep(ctx: StepContext) -> int:
        if ctx.attempt == 1:
            raise ValueError("not yet")
        return ctx.attempt

    run_id = child.run("WriteStep")
    assert child.workshop.outcomes(run_id) == []
    assert child.workshop.nudge.wait(0), "the keeper must learn when the retry is due"
    child.workshop.bring_retries_due()
    child.workshop.work_off(child.pipeline.run)
    outcome = child.workshop.outcome(run_id)
    assert (outcome.value, outcome.attempts) == (2, 2)


def test_a_step_that_this_worker_does_not_know_is_left_to_others(child: Child) -> None:
    with StepRegistry().isolated():

        @step(critical=True)
        def WriteRareStep() -> None: ...

        run_id = child.workshop.open(["WriteRareStep"])
    child.workshop.work_off(child.pipeline.run)
    assert child.workshop.outcomes(run_id) == []
    assert child.workshop.claims() == []
    assert child.workshop.nudge.wait(0)

    @step(name="WriteRareStep", critical=True)
    def known_now(ctx: StepContext) -> int:
        return ctx.attempt

    child.workshop.bring_retries_due()
    child.workshop.work_off(child.pipeline.run)
    assert child.workshop.outcome(run_id).value == 1


def test_params_that_this_workers_code_does_not_take_fail_the_step(child: Child) -> None:
    with StepRegistry().isolated():

        @step(name="WriteStep", critical=True)
        def of_another_release() -> None: ...

        run_id = child.workshop.open(["WriteStep", "WriteStep"])

    @step(critical=True)
    def WriteStep(path: str) -> None: ...

    child.workshop.work_off(child.pipeline.run)
    outcomes = child.workshop.outcomes(run_id)
    assert [one.status for one in outcomes] == ["failed", "skipped"]
    assert outcomes[0].error is not None
    assert outcomes[0].error.type == "InvalidParams"


def test_a_worker_that_goes_down_claims_no_more(child: Child) -> None:
    @step(critical=True)
    def WriteStep() -> None:
        child.workshop.is_draining.set()

    run_id = child.workshop.open(["WriteStep", "WriteStep"])
    child.workshop.work_off(child.pipeline.run)
    assert [one.status for one in child.workshop.outcomes(run_id)] == ["succeeded"]
    assert child.workshop.claims() == []


def test_an_outcome_is_told_until_redis_answers(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, failures = child.workshop.ledger, [BrokerUnavailable("away"), BrokerUnavailable("still away")]
    settle = type(ledger).settle_and_claim_next

    def settle_at_last(*arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return settle(*arguments, **options)

    monkeypatch.setattr(type(ledger), "settle_and_claim_next", settle_at_last)

    @step(critical=True)
    def WriteStep() -> int:
        return 1

    assert child.workshop.outcome(child.run("WriteStep")).value == 1
    assert failures == []


def test_a_child_whose_settle_is_refused_ends(child: Child) -> None:
    @step(critical=True)
    def WriteStep() -> None:
        beats = child.workshop.ledger.tick(Beat(WORKER, "beat")).beats
        child.workshop.ledger.tick(Beat(reap=((WORKER, beats[WORKER]),)))

    run_id = child.workshop.open(["WriteStep"])
    with pytest.raises(Exited) as left:
        child.pipeline.run(run_id, 0)
    assert left.value.args == (REFUSED_EXIT,)
    assert child.workshop.outcomes(run_id) == []


def test_a_fault_of_the_worker_fails_the_step_and_says_so(child: Child, caplog: pytest.LogCaptureFixture) -> None:
    @step(critical=True)
    def WriteStep() -> None: ...

    run_id = child.workshop.open(["WriteStep"])
    meta = child.workshop.client.hget(f"stepline:v1:run:{run_id}", "meta")
    child.workshop.client.hset(f"stepline:v1:run:{run_id}", "meta", "{}")
    child.workshop.work_off(child.pipeline.run)
    child.workshop.client.hset(f"stepline:v1:run:{run_id}", "meta", meta)
    outcome = child.workshop.outcome(run_id)
    assert outcome.status == "failed"
    assert outcome.error is not None
    assert outcome.error.type == "WorkerFault"
    assert "fault of this worker" in caplog.text


def test_a_completion_body_gets_the_outcomes_of_all_steps(child: Child) -> None:
    bodies = []

    @step(critical=True)
    def WriteStep(value: int) -> int:
        return value or 1 // value

    @step(critical=True)
    def WriteEndStep(ctx: StepContext, outcomes: list[dict[str, Any]]) -> None:
        bodies.append(([(one["id"], one["status"], one["value"]) for one in outcomes], ctx.effect_key, ctx.remaining_s))

    run_id = child.run(
        {"name": "WriteStep", "params": {"value": 5}},
        {"name": "WriteStep", "params": {"value": 0}},
        then="WriteEndStep",
    )
    (seen, effect_key, remaining_s) = bodies[0]
    assert seen == [("WriteStep", "succeeded", 5), ("WriteStep_2", "failed", None)]
    assert (effect_key, len(bodies)) == (run_id, 1)
    assert remaining_s > 1
