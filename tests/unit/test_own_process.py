"""Attempts in processes of their own: every way in which a step can end, and what is left of it."""

import os
import queue
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from producer.launcher.sessions import is_alive
from steps.attempt import Attempt, Decided, Died, End, Raised, RetryLater, Settle, Stopped, ValueLimits, prepare
from steps.backoff import Backoff
from steps.call import StepCall
from steps.context import StepContext
from steps.outcome import OutcomeError
from steps.registry import StepRegistry
from tests.support import own_process_steps
from tests.support.latches import Journal, Latch
from tests.support.processes import children_of, clean_environment, command_of, wait_until
from workers import own_process as own_process_module
from workers.own_process import OwnProcesses
from workers.own_process_guard import HARD_STOP_AFTER_S
from workers.pulse import Pulse

WAIT_S = 20.0
LIMITS = ValueLimits(max_bytes=1_048_576)
TIMEOUT_S = 0.2
TIMED_OUT = "the attempt took longer than its time-out of 0.2 s"
KILLED = "the step ignored its time-out and was killed"


class Shop:
    """Runs attempts in processes of their own, and keeps their ends."""

    def __init__(self, modules: str = own_process_steps.__name__, pulse: Pulse | None = None) -> None:
        environment = clean_environment(STEPLINE_STEP_MODULES=modules)
        self.processes = OwnProcesses(limits=LIMITS, environment=environment, pulse=pulse)
        self.ends: queue.SimpleQueue[tuple[Attempt, End, float]] = queue.SimpleQueue()

    def start(
        self,
        name: str,
        *,
        timeout_s: float = WAIT_S,
        run_s: float | None = None,
        failures: int = 0,
        retries: int = 0,
        context: dict[str, Any] | None = None,
        **params: Any,
    ) -> Attempt:
        call = StepCall("one", name, params, timeout_s, retries, Backoff("fixed", 2.0))
        ctx = StepContext(
            run_id="run", step_id="one", context=context or {}, results={"two": [2]}, fence=7, attempt=failures + 1
        )
        attempt = prepare(StepRegistry().get(name), call, context=ctx, failures=failures)
        assert isinstance(attempt, Attempt)
        attempt.begin(time.monotonic())
        deadline = None if run_s is None else time.monotonic() + run_s
        self.processes.within(deadline).submit(attempt, lambda end, at: self.ends.put((attempt, end, at)))
        return attempt

    def end_of(self, attempt: Attempt) -> End:
        ended, end, at = self.ends.get(timeout=WAIT_S)
        assert ended is attempt
        attempt.ended = at
        return end

    def run(self, name: str, **options: Any) -> End:
        return self.end_of(self.start(name, **options))

    def settle(self, name: str, **options: Any) -> Settle:
        end = self.run(name, **options)
        assert isinstance(end, Decided), end
        assert isinstance(end.decision, Settle)
        return end.decision

    def value(self, name: str, **options: Any) -> Any:
        settle = self.settle(name, **options)
        assert settle.status == "succeeded", settle
        return settle.value


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.processes.close()
    assert not [pid for pid in children_of(os.getpid()) if "own_process_server" in command_of(pid)]


@pytest.fixture
def latch(tmp_path: Path) -> Iterator[Latch]:
    latch = Latch(tmp_path / "latch")
    yield latch
    latch.open()


# what it is given, and what comes back -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["GetOwnEchoStep", "GetOwnAwaitedStep"])
@pytest.mark.parametrize("value", [None, 7, "ünï\u2028", [1, {"a": None}], {"b": [True, 1.5]}], ids=repr)
def test_a_value_comes_back_as_it_was(shop: Shop, name: str, value: Any) -> None:
    assert shop.value(name, value=value) == value


def test_a_value_is_written_as_its_type_says_once(shop: Shop) -> None:
    assert shop.value("GetOwnPageStep", number=21) == {"number": 42}


@pytest.mark.parametrize("name", ["GetOwnContextStep", "GetOwnClassStep"])
def test_a_step_sees_its_context_and_is_alone_in_a_session(shop: Shop, name: str) -> None:
    told = shop.value(name, context={"user": "ann"}, failures=2, timeout_s=5)
    assert told["pid"] == told["session"] not in (os.getpid(), os.getsid(0))
    assert told["parent"] != os.getpid()
    assert (told["context"], told["results"]) == ({"user": "ann"}, {"two": [2]})
    assert (told["fence"], told["attempt"], told["effect_key"], told["cancelled"]) == (7, 3, "run/one", False)
    assert 4 < told["remaining_s"] <= 5


def test_attempts_run_side_by_side_in_processes_of_their_own(shop: Shop, latch: Latch) -> None:
    attempts = [shop.start("GetOwnHeldStep", latch=latch.path) for _ in range(5)]
    assert len({line["pid"] for line in latch.wait_until_begun(5)}) == 5
    latch.open()
    ended = [shop.ends.get(timeout=WAIT_S) for _ in attempts]
    assert {attempt for attempt, _, _ in ended} == set(attempts)
    assert {end for _, end, _ in ended if isinstance(end, Decided)} == {Decided(Settle("succeeded", "let go"))}


def test_a_large_value_comes_back_and_a_larger_one_is_refused(shop: Shop) -> None:
    assert len(shop.value("GetOwnTextStep", length=LIMITS.max_bytes - 2)) == LIMITS.max_bytes - 2
    refused = shop.settle("GetOwnTextStep", length=LIMITS.max_bytes)
    assert refused.error is not None
    assert (refused.status, refused.error.type) == ("failed", "InvalidResult")


def test_a_large_order_arrives(shop: Shop) -> None:
    text = "x" * 600_000
    assert shop.value("GetOwnContextStep", context={"text": text})["context"] == {"text": text}


def test_a_step_that_floods_its_output_ends(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    assert shop.value("GetOwnFloodStep", lines=300) == 300
    del capfd


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("raises", "ValueError", "no luck"),
        ("exits", "SystemExit", "3"),
        ("is interrupted", "KeyboardInterrupt", ""),
        ("is no JSON", "InvalidResult", "value: input was not a valid JSON value (given: object)"),
    ],
)
def test_a_step_that_fails_says_why(shop: Shop, how: str, kind: str, message: str) -> None:
    failed = shop.settle("GetOwnFailureStep", how=how)
    assert failed.error is not None
    assert (failed.status, failed.error.type, failed.error.message) == ("failed", kind, message)
    if kind != "InvalidResult":
        assert "GetOwnFailureStep" in failed.error.details["traceback"]
        assert "workers/" not in failed.error.details["traceback"]


def test_a_failure_is_tried_again_where_a_retry_is_left_and_fits_into_the_run(shop: Shop) -> None:
    end = shop.run("GetOwnFailureStep", retries=1)
    assert isinstance(end, Decided)
    assert isinstance(end.decision, RetryLater)
    assert (end.decision.delay_s, end.decision.error.type) == (2.0, "ValueError")
    end = shop.run("GetOwnFailureStep", retries=1, how="asks for a retry")
    assert isinstance(end, Decided)
    assert isinstance(end.decision, RetryLater)
    assert end.decision.delay_s == 2.5
    assert shop.settle("GetOwnFailureStep", retries=1, failures=1).status == "failed"
    too_late = shop.settle("GetOwnFailureStep", retries=1, run_s=1.5)
    assert too_late.error is not None
    assert "not_retried" in too_late.error.details


def test_a_step_that_forks_reports_once(shop: Shop) -> None:
    assert shop.value("GetOwnForkedStep") == "step"
    assert shop.value("GetOwnPooledStep") == [1, 2, 3]
    assert shop.ends.empty()


# deaths ----------------------------------------------------------------------------------------------------------

STOPPING = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
DEADLY = sorted(
    set(signal.Signals) - set(own_process_steps.HARMLESS) - set(STOPPING) - {signal.SIGRTMIN, signal.SIGRTMAX}
)


@pytest.mark.parametrize("signum", DEADLY, ids=lambda one: one.name)
def test_a_step_ended_by_a_signal_has_died(shop: Shop, tmp_path: Path, signum: signal.Signals) -> None:
    end = shop.run("GetOwnDeathStep", journal=str(tmp_path / "journal"), signum=signum)
    assert end == Died(f"the step's own process was ended by {signum.name}")


def test_a_signal_without_a_name_is_named_by_its_number(shop: Shop, tmp_path: Path) -> None:
    end = shop.run("GetOwnDeathStep", journal=str(tmp_path / "journal"), signum=signal.SIGRTMIN + 1)
    assert end == Died(f"the step's own process was ended by signal {signal.SIGRTMIN + 1}")


@pytest.mark.parametrize("code", [0, 3])
def test_a_step_that_exits_past_all_handlers_has_died(shop: Shop, tmp_path: Path, code: int) -> None:
    end = shop.run("GetOwnDeathStep", journal=str(tmp_path / "journal"), code=code)
    assert end == Died(f"the step's own process exited with code {code}")


def test_a_step_that_crashes_has_died(shop: Shop) -> None:
    assert shop.run("GetOwnCrashStep") == Died("the step's own process was ended by SIGSEGV")


def test_a_step_that_kills_its_parent_dies_with_it_alone(shop: Shop, latch: Latch) -> None:
    neighbour = shop.start("GetOwnHeldStep", latch=latch.path)
    latch.wait_until_begun()
    assert shop.run("GetOwnParentKillerStep") == Died("the process between the worker and the step was killed")
    latch.open()
    assert shop.end_of(neighbour) == Decided(Settle("succeeded", "let go"))


# time-outs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "heard"),
    [("GetOwnHeldStep", "told to stop|stopped softly"), ("GetOwnHeldAwaitedStep", "cancelled")],
)
def test_a_step_that_overruns_is_stopped_softly(shop: Shop, latch: Latch, name: str, heard: str) -> None:
    attempt = shop.start(name, timeout_s=TIMEOUT_S, latch=latch.path)
    assert shop.end_of(attempt) == Decided(Settle("timed_out", error=OutcomeError("StepTimeout", TIMED_OUT)))
    assert TIMEOUT_S * 1000 <= attempt.ran_ms < (TIMEOUT_S + HARD_STOP_AFTER_S) * 1000
    assert {line["what"] for line in latch.lines()} & set(heard.split("|"))


@pytest.mark.parametrize("name", ["GetOwnDeafStep", "GetOwnSwallowingStep", "GetOwnBlockedLoopStep"])
def test_a_step_that_ignores_its_time_out_is_killed_within_a_second(shop: Shop, latch: Latch, name: str) -> None:
    attempt = shop.start(name, timeout_s=TIMEOUT_S, latch=latch.path)
    assert shop.end_of(attempt) == Decided(Settle("timed_out", error=OutcomeError("StepTimeout", KILLED)))
    assert (TIMEOUT_S + HARD_STOP_AFTER_S) * 1000 <= attempt.ran_ms < (TIMEOUT_S + 1) * 1000
    (begun,) = latch.lines("began")
    assert not is_alive(begun["pid"])


@pytest.mark.parametrize(("run_s", "is_again"), [(None, True), (60.0, True), (2.5, False)])
def test_a_step_that_is_killed_for_its_time_out_is_tried_again_where_it_says_so_and_there_is_time(
    shop: Shop, latch: Latch, run_s: float | None, is_again: bool
) -> None:
    end = shop.run("GetOwnDeafAgainStep", timeout_s=TIMEOUT_S, run_s=run_s, retries=1, latch=latch.path)
    error = OutcomeError("StepTimeout", TIMED_OUT)
    killed = Settle("timed_out", error=OutcomeError("StepTimeout", KILLED))
    assert end == Decided(RetryLater(2.0, error) if is_again else killed)


def test_a_step_that_swallows_its_time_out_can_see_that_it_is_cancelled(shop: Shop, latch: Latch) -> None:
    shop.run("GetOwnSwallowingStep", timeout_s=TIMEOUT_S, latch=latch.path)
    assert [line["cancelled"] for line in latch.lines("swallowed")] == [True]


def test_a_step_that_freezes_what_watches_it_is_killed_nevertheless(shop: Shop, latch: Latch) -> None:
    attempt = shop.start("GetOwnFrozenStep", timeout_s=TIMEOUT_S, journal=latch.path)
    assert shop.end_of(attempt) == Decided(Settle("timed_out", error=OutcomeError("StepTimeout", KILLED)))
    assert attempt.ran_ms < (TIMEOUT_S + 1) * 1000
    (begun,) = latch.lines("began")
    wait_until(lambda: not is_alive(begun["pid"]))


def test_a_step_whose_worker_stands_still_is_ended_and_nobody_is_blamed(latch: Latch) -> None:
    pulse = Pulse.make(0.2)
    pulse.confirm(time.monotonic() + WAIT_S)
    shop = Shop(pulse=pulse)
    attempt = shop.start("GetOwnDeafStep", latch=latch.path)
    (begun,) = latch.wait_until_begun()
    pulse.confirm(time.monotonic())
    assert shop.end_of(attempt) == Died("its worker stood still", is_announced=True)
    assert not is_alive(begun["pid"])
    shop.processes.close()


# stops -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["GetOwnHeldStep", "GetOwnHeldAwaitedStep"])
def test_a_step_that_is_stopped_stops(shop: Shop, latch: Latch, name: str) -> None:
    attempt = shop.start(name, latch=latch.path)
    latch.wait_until_begun()
    for _ in range(2):
        shop.processes.within(None).stop(attempt, "enough")
    assert shop.end_of(attempt) == Stopped("enough")
    assert len(latch.lines()) == 2, "it was told once"


def test_a_step_that_is_stopped_before_it_has_begun_stops(shop: Shop, latch: Latch) -> None:
    attempt = shop.start("GetOwnHeldStep", latch=latch.path)
    shop.processes.stop(attempt, "enough")
    assert shop.end_of(attempt) == Stopped("enough")


def test_a_step_that_does_not_stop_is_killed_within_a_second(shop: Shop, latch: Latch) -> None:
    attempt = shop.start("GetOwnDeafStep", latch=latch.path)
    (begun,) = latch.wait_until_begun()
    stopped_at = time.monotonic()
    shop.processes.stop(attempt, "enough")
    end = shop.end_of(attempt)
    assert attempt.ended - stopped_at < 1
    assert isinstance(end, Decided)
    assert isinstance(end.decision, Settle)
    assert end.decision.status == "cancelled"
    assert not is_alive(begun["pid"])


# what is left ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", ["returns", "dies", "overruns"])
def test_what_a_step_has_started_ends_with_it(shop: Shop, tmp_path: Path, ends: str) -> None:
    journal = Journal(tmp_path / "journal")
    attempt = shop.start("GetOwnLitterStep", journal=journal.path, ends=ends, timeout_s=1 if ends == "overruns" else 20)
    end = shop.end_of(attempt)
    assert isinstance(end, Died) == (ends == "dies")
    assert attempt.ran_ms < 2000
    (left,) = journal.lines("left")
    assert len(left["pids"]) == 3
    assert not [pid for pid in left["pids"] if is_alive(pid)]


def test_what_a_step_has_started_ends_even_if_it_kills_what_watches_it(
    shop: Shop, tmp_path: Path, latch: Latch
) -> None:
    neighbour = shop.start("GetOwnHeldStep", latch=latch.path)
    journal = Journal(tmp_path / "journal")
    assert isinstance(shop.run("GetOwnLitterStep", journal=journal.path, ends="kills its parent"), Died)
    (left,) = journal.lines("left")
    wait_until(lambda: not [pid for pid in left["pids"] if is_alive(pid)])
    latch.open()
    assert shop.end_of(neighbour) == Decided(Settle("succeeded", "let go"))


def test_no_descriptor_is_left_of_an_attempt(shop: Shop) -> None:
    shop.run("GetOwnEchoStep")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        shop.run("GetOwnEchoStep")
    assert len(os.listdir("/proc/self/fd")) == before


def test_closing_ends_what_runs_and_tells_nobody(latch: Latch) -> None:
    shop = Shop()
    shop.processes.warm()
    shop.start("GetOwnDeafStep", latch=latch.path)
    shop.start("GetOwnHeldStep", latch=latch.path)
    begun = latch.wait_until_begun(2)
    shop.processes.close()
    assert not [line["pid"] for line in begun if is_alive(line["pid"])]
    assert shop.ends.empty()


def test_what_was_never_used_is_closed() -> None:
    Shop().processes.close()


# the process that forks them -------------------------------------------------------------------------------------


def _server() -> int:
    (pid,) = (pid for pid in children_of(os.getpid()) if "own_process_server" in command_of(pid))
    return pid


def test_a_server_that_was_killed_is_started_again_and_what_runs_goes_on(shop: Shop, latch: Latch) -> None:
    attempt = shop.start("GetOwnHeldStep", latch=latch.path)
    latch.wait_until_begun()
    os.kill(_server(), signal.SIGKILL)
    assert shop.value("GetOwnEchoStep", value=1) == 1
    latch.open()
    assert shop.end_of(attempt) == Decided(Settle("succeeded", "let go"))


def test_a_server_that_cannot_start_makes_the_step_fail(capfd: pytest.CaptureFixture[str]) -> None:
    shop = Shop(modules="tests.support.not_there")
    end = shop.run("GetOwnEchoStep", value=1)
    assert isinstance(end, Raised)
    assert isinstance(end.error, ChildProcessError)
    assert "tests.support.not_there" in capfd.readouterr().err
    shop.processes.close()


def test_a_server_that_does_not_answer_makes_the_step_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_process_module, "START_WITHIN_S", 0.01)
    shop = Shop()
    assert isinstance(shop.run("GetOwnEchoStep", value=1), Raised)
    shop.processes.close()


def test_a_step_that_the_server_does_not_know_fails(shop: Shop) -> None:
    shop = Shop(modules="tests.support.held_steps")
    settle = shop.settle("GetOwnEchoStep", value=1)
    assert settle.error is not None
    assert (settle.status, settle.error.type) == ("failed", "UnknownStep")
    shop.processes.close()


def test_without_descriptors_nothing_has_begun(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(name: str) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "memfd_create", none_left)
        with pytest.raises(RuntimeError, match="no process can be started for step GetOwnEchoStep"):
            shop.start("GetOwnEchoStep", value=1)
    assert shop.value("GetOwnEchoStep", value=1) == 1
