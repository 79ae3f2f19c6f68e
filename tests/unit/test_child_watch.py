"""What the parent of prefork children does for them; the children are real."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from steps import step
from steps.errors import BrokerUnavailable
from steps.ledger.records import Beat, ClaimedStep, StepFate
from steps.registry import StepRegistry
from tests.support.forks import code_of, forked
from tests.support.ledgers import OK
from tests.support.processes import WAIT_S, state_of, wait_until
from tests.support.worker_kits import WORKER, Workshop
from workers import child_watch
from workers.child_board import ChildBoard, Hold
from workers.child_watch import ChildWatch
from workers.processes import end_session, has_ended


@dataclass
class Nursery:
    """A watch over one child that runs the step of a run, with another run behind it in the lane."""

    workshop: Workshop
    board: ChildBoard = field(default_factory=lambda: ChildBoard(2))

    def __post_init__(self) -> None:
        self.watch = ChildWatch(
            board=self.board,
            ledger=self.workshop.ledger,
            publisher=self.workshop.publisher,  # type: ignore[arg-type]
            worker_id=WORKER,
            nudge=self.workshop.nudge,
        )
        self.run_id, self.behind = (self.workshop.open(["WriteStep"]) for _ in range(2))
        self.workshop.publisher.take()
        self.claimed = self._claim()

    def _claim(self) -> ClaimedStep:
        claimed = self.workshop.ledger.claim(self.run_id, 0, worker=WORKER, want=1, with_meta=False)
        assert claimed is not None
        return claimed.steps[0]

    @property
    def name(self) -> str:
        return f"{self.run_id}:0"

    def hold(self, pid: int, *, timeout_s: float = inf, retry_s: float | None = None) -> Hold:
        """Say on the board what the child with this pid runs."""
        now = time.monotonic()
        hold = Hold(
            slot=1,
            pid=pid,
            run_id=self.run_id,
            parcel=0,
            index=0,
            fence=self.claimed.fence,
            attempt=1,
            began_s=now,
            deadline_s=now + timeout_s,
            started_ms=1_795_000_000_000.5,
            queued_ms=12.5,
            retry_s=retry_s,
        )
        self.board.write(hold)
        return hold

    def published(self) -> list[str]:
        return [ready.run_id for ready in self.workshop.publisher.take()]


@dataclass(frozen=True)
class Family:
    """A child and the file to which a process writes that it started."""

    leader: int
    heard: Path

    def written(self) -> int:
        return self.heard.stat().st_size


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    with StepRegistry().isolated():

        @step(critical=True)
        def WriteStep() -> None: ...

        yield Nursery(Workshop())


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_watch, "HARD_STOP_AFTER_S", 0.0)


def test_a_child_within_its_time_is_left_alone(nursery: Nursery, at_once: None) -> None:
    with forked(signal.pause) as child:
        nursery.hold(child)
        nursery.watch.tend()
        assert nursery.watch.dead_claims() == ()
        assert nursery.watch.names() == (nursery.name,)
        assert not has_ended(child)


def test_past_its_deadline_a_child_has_a_moment_more(nursery: Nursery) -> None:
    with forked(signal.pause) as child:
        nursery.hold(child, timeout_s=0.0)
        nursery.watch.tend()
        assert nursery.workshop.outcomes(nursery.run_id) == []


def test_a_child_that_ignores_its_time_out_is_settled_first_and_killed_then(nursery: Nursery, at_once: None) -> None:
    with forked(signal.pause) as child:
        nursery.hold(child, timeout_s=0.0)
        nursery.watch.tend()
        outcome = nursery.workshop.outcome(nursery.run_id)
        assert (outcome.status, outcome.attempts, outcome.worker) == ("timed_out", 1, WORKER)
        assert outcome.error is not None
        assert "killed" in outcome.error.message
        assert (outcome.started_ms, outcome.queued_ms) == (1_795_000_000_000.5, 12.5)
        assert nursery.published() == []
        assert code_of(child) == -signal.SIGKILL


def test_the_lane_of_a_killed_child_is_free_once_it_is_dead(nursery: Nursery, at_once: None) -> None:
    with forked(signal.pause) as child:
        nursery.hold(child, timeout_s=0.0)
        nursery.watch.tend()
        wait_until(lambda: has_ended(child))
        assert nursery.watch.dead_claims() == ()
        nursery.watch.tend()
    assert nursery.published() == [nursery.behind]
    assert nursery.watch.names() == ()
    assert nursery.workshop.claims() == []


def test_a_child_that_ignores_its_time_out_is_killed_for_a_retry_where_its_step_is_tried_again(
    nursery: Nursery, at_once: None
) -> None:
    with forked(signal.pause) as child:
        nursery.hold(child, timeout_s=0.0, retry_s=0.25)
        nursery.watch.tend()
        assert code_of(child) == -signal.SIGKILL
    assert nursery.workshop.outcomes(nursery.run_id) == []
    assert (nursery.watch.names(), nursery.watch.dead_claims(), nursery.workshop.claims()) == ((), (), [])
    assert nursery.workshop.nudge.wait(0)
    assert nursery.published() == []  # A short wait keeps the lane.
    nursery.workshop.bring_retries_due()
    assert nursery.published() == [nursery.run_id]
    again = nursery._claim()
    assert (again.attempt, again.failures, nursery.workshop.deaths(nursery.run_id)) == (2, 1, 0)


def test_a_child_that_had_settled_by_itself_goes_on(nursery: Nursery, at_once: None) -> None:
    with forked(signal.pause) as child:
        nursery.hold(child, timeout_s=0.0, retry_s=0.25)
        fate = StepFate(0, nursery.claimed.fence, "S", "succeeded", OK)
        nursery.workshop.ledger.settle(nursery.run_id, 0, [fate], worker=WORKER)
        nursery.watch.tend()
        assert not has_ended(child)
        assert state_of(child) in "RS"
    assert nursery.workshop.statuses(nursery.run_id) == ["succeeded"]


@pytest.mark.parametrize("is_done", [True, False])
def test_a_child_that_is_to_be_killed_for_a_retry_stands_still_until_redis_answers(
    nursery: Nursery, at_once: None, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    ledger = type(nursery.workshop.ledger)
    settle = ledger.settle

    def unanswered(*arguments: Any, **options: Any) -> None:
        if is_done:
            settle(*arguments, **options)
        raise BrokerUnavailable("its answer was lost")

    with forked(signal.pause) as child:
        nursery.hold(child, timeout_s=0.0, retry_s=0.0)
        with monkeypatch.context() as patch:
            patch.setattr(ledger, "settle", unanswered)
            nursery.watch.tend()
        assert state_of(child) == "T"
        nursery.watch.stop(nursery.run_id, 0)
        nursery.watch.tend()
        assert code_of(child) == -signal.SIGKILL
    assert nursery.watch.names() == ()
    nursery.workshop.bring_retries_due()
    assert nursery._claim().attempt == 2


@pytest.fixture
def family(nursery: Nursery, tmp_path: Path) -> Iterator[Family]:
    """Fork a child that leads a session, and what it started writes all the time, in a group of its own."""
    heard = tmp_path / "heard"
    heard.touch()

    def write_on() -> None:
        os.setpgid(0, 0)
        with heard.open("ab", buffering=0) as file:
            while True:
                file.write(b".")
                time.sleep(0.001)

    def lead() -> None:
        os.setsid()
        if os.fork() == 0:
            write_on()
        signal.pause()

    with forked(lead) as child:
        wait_until(lambda: heard.stat().st_size)
        nursery.hold(child, timeout_s=0.0, retry_s=0.0)
        yield Family(child, heard)
        end_session(child)


def test_what_a_step_has_started_writes_no_more_once_its_next_attempt_may_begin(
    nursery: Nursery, at_once: None, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = type(nursery.workshop.ledger)
    settle, written = ledger.settle, []

    def settle_slowly(*arguments: Any, **options: Any) -> Any:
        settled = settle(*arguments, **options)
        written.append(family.written())
        time.sleep(0.05)  # The other might write meanwhile.
        return settled

    monkeypatch.setattr(ledger, "settle", settle_slowly)
    nursery.watch.tend()
    assert code_of(family.leader) == -signal.SIGKILL
    assert written == [family.written()]
    assert nursery.watch.names() == ()


@pytest.mark.parametrize("settles", ["and holds no step", "and holds another", "and has not said so"])
def test_who_had_settled_by_itself_goes_on_with_all_that_it_started(
    nursery: Nursery, at_once: None, family: Family, monkeypatch: pytest.MonkeyPatch, settles: str
) -> None:
    def unanswered(*_: Any, **__: Any) -> None:
        raise BrokerUnavailable("its answer was lost")

    if settles == "and has not said so":
        fate = StepFate(0, nursery.claimed.fence, "S", "succeeded", OK)
        nursery.workshop.ledger.settle(nursery.run_id, 0, [fate], worker=WORKER)
    else:
        with monkeypatch.context() as patch:
            patch.setattr(type(nursery.workshop.ledger), "settle", unanswered)
            nursery.watch.tend()
        assert state_of(family.leader) == "T"
        hold = nursery.board.holds()[0]
        nursery.board.clear(hold.slot)
        if settles == "and holds another":
            nursery.board.write(replace(hold, index=1, fence=hold.fence + 1, deadline_s=inf))
    nursery.watch.tend()
    before = family.written()
    wait_until(lambda: family.written() > before)
    wait_until(lambda: state_of(family.leader) == "S")


def test_a_step_that_was_stopped_is_not_tried_again(nursery: Nursery, at_once: None) -> None:
    def ignore() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        nursery.board.ask_to_stop(0, 1)
        signal.sigwait([signal.SIGTERM])

    with forked(ignore) as child:
        wait_until(lambda: nursery.board.stop_asked(0) == 1)
        nursery.hold(child, retry_s=0.0)
        nursery.watch.stop(nursery.run_id, 0)
        nursery.watch.tend()
        assert code_of(child) == -signal.SIGKILL
    assert nursery.workshop.statuses(nursery.run_id) == ["cancelled"]


def test_a_child_is_not_killed_for_a_step_that_has_settled(nursery: Nursery, at_once: None) -> None:
    with forked(signal.pause) as child:
        nursery.hold(child, timeout_s=0.0)
        fate = StepFate(0, nursery.claimed.fence, "S", "succeeded", OK)
        assert nursery.workshop.ledger.settle(nursery.run_id, 0, [fate], worker=WORKER).accepted == (True,)
        nursery.watch.tend()
        assert not has_ended(child)
        assert nursery.workshop.statuses(nursery.run_id) == ["succeeded"]


def test_no_child_is_killed_while_redis_is_away(
    nursery: Nursery, at_once: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object, **__: object) -> None:
        raise BrokerUnavailable("nobody there")

    with forked(signal.pause) as child:
        nursery.hold(child, timeout_s=0.0)
        with monkeypatch.context() as patch:
            patch.setattr(type(nursery.workshop.ledger), "settle", away)
            nursery.watch.tend()
            assert not has_ended(child)
            assert "is left alone" in caplog.text
        nursery.watch.tend()
        assert code_of(child) == -signal.SIGKILL


def test_a_child_that_died_by_itself_is_reported_until_its_claim_is_taken_back(nursery: Nursery) -> None:
    with forked(lambda: None) as child:
        nursery.hold(child)
        wait_until(lambda: has_ended(child))
        nursery.watch.tend()
        claim = (nursery.name, nursery.claimed.fence)
        assert nursery.watch.dead_claims() == nursery.watch.dead_claims() == (claim,)
        assert nursery.watch.names() == (nursery.name,)
        nursery.watch.acknowledge([(nursery.name, claim[1] - 1)])
        assert nursery.watch.dead_claims() == (claim,)
        ticked = nursery.workshop.ledger.tick(Beat(WORKER, "beat", held=(nursery.name,), dead_claims=(claim,)))
        assert [ready.run_id for ready in ticked.ready] == [nursery.run_id]
        nursery.watch.acknowledge([claim])
        assert nursery.watch.names() == ()


def test_what_a_child_held_that_ended_for_a_reason_is_given_back_and_is_no_death(nursery: Nursery) -> None:
    with forked(lambda: None) as child:
        nursery.hold(child)
        nursery.board.give_back(1)
        assert code_of(child) == 0
        assert nursery.watch.dead_claims() == ()
        nursery.watch.tend()
    assert nursery.published() == [nursery.run_id]
    assert (nursery.watch.names(), nursery.workshop.claims()) == ((), [])
    again = nursery._claim()
    assert (again.attempt, again.failures) == (2, 0)
    assert nursery.workshop.deaths(nursery.run_id) == 0


def test_a_step_that_settled_in_the_end_is_not_given_back(nursery: Nursery) -> None:
    with forked(lambda: None) as child:
        nursery.hold(child)
        fate = StepFate(0, nursery.claimed.fence, "S", "succeeded", OK)
        nursery.workshop.ledger.settle(nursery.run_id, 0, [fate], worker=WORKER)
        nursery.board.give_back(1)
        assert code_of(child) == 0
        nursery.watch.tend()
    assert nursery.workshop.statuses(nursery.run_id) == ["succeeded"]
    assert nursery.watch.names() == ()


@pytest.mark.parametrize("ends", ["dies", "gives back", "is killed", "is killed for a retry"])
def test_what_a_step_has_started_is_gone_before_anybody_takes_its_place(
    nursery: Nursery, at_once: None, ends: str
) -> None:
    reading, writing = os.pipe()

    def start_another() -> None:
        os.setsid()
        if os.fork() == 0:
            signal.pause()
        nursery.board.ask_to_stop(0, 1)
        while "killed" in ends:
            signal.pause()

    with forked(start_another) as child:
        os.close(writing)
        wait_until(lambda: nursery.board.stop_asked(0) == 1)
        retry_s = 0.0 if ends == "is killed for a retry" else None
        nursery.hold(child, timeout_s=0.0 if "killed" in ends else inf, retry_s=retry_s)
        if ends == "gives back":
            nursery.board.give_back(1)
        nursery.watch.tend()
        wait_until(lambda: has_ended(child))
        assert len(nursery.watch.dead_claims()) == (ends == "dies")
        nursery.watch.tend()
        assert os.read(reading, 1) == b""  # Nobody has the other end any more.
        os.close(reading)
    assert nursery.watch.names() == ((nursery.name,) if ends == "dies" else ())


def test_all_that_runs_a_step_is_killed_and_gone_when_that_returns(nursery: Nursery) -> None:
    with forked(signal.pause) as idle, forked(signal.pause) as busy:
        nursery.hold(busy)
        nursery.watch.kill_all(WAIT_S)
        assert has_ended(busy)
        assert not has_ended(idle)


def test_a_stop_is_a_ring_for_the_child_that_runs_the_step(nursery: Nursery) -> None:
    with forked(signal.pause) as child:
        hold = nursery.hold(child)
        nursery.watch.stop(nursery.run_id, 1)
        nursery.watch.stop("another", 0)
        assert not has_ended(child)
        assert nursery.board.stop_asked(hold.slot) == 0
        nursery.watch.stop(nursery.run_id, 0)
        assert nursery.board.stop_asked(hold.slot) == hold.fence
        assert code_of(child) == -signal.SIGALRM


def test_a_child_that_ignores_a_stop_is_killed_and_its_step_cancelled(nursery: Nursery, at_once: None) -> None:
    def ignore() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        nursery.board.write(replace(nursery.hold(0), slot=0, run_id="ready"))
        signal.sigwait([signal.SIGTERM])

    with forked(ignore) as child:
        wait_until(lambda: "ready:0" in nursery.watch.names())
        nursery.board.clear(0)
        nursery.hold(child)
        nursery.watch.stop(nursery.run_id, 0)
        nursery.watch.tend()
        assert nursery.workshop.statuses(nursery.run_id) == ["cancelled"]
        assert code_of(child) == -signal.SIGKILL
