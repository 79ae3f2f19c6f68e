"""The pipeline of a threads worker, in this process."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from steps import step
from steps.attempt import Attempt, Decided, Died, End, Returned, Settle, Stopped
from steps.context import StepContext
from steps.errors import BrokerUnavailable
from steps.ledger.records import Beat, ClaimedStep, StepFate
from steps.registry import StepRegistry
from steps.side_by_side import SideBySide
from tests.support.attempts import attempt_of
from tests.support.processes import wait_until
from tests.support.worker_kits import WORKER, Workshop
from workers import kit as kit_module
from workers import side_parcel
from workers.kit import STOP_REASON
from workers.side_parcel import HeldSteps, SidePipeline
from workers.slots import Slots

WAIT_S = 20.0
SLOTS = 6


class Shop:
    """A workshop with the pipeline of a threads worker."""

    def __init__(self, slots: int = SLOTS, **settings: Any) -> None:
        self.workshop = Workshop(**settings)
        self.slots, self.count = Slots(slots), slots
        self.held = HeldSteps()
        self.pipeline = SidePipeline(kit=self.workshop.kit, slots=self.slots, held=self.held)

    def run(self, *steps: Any, **options: Any) -> str:
        run_id = self.workshop.open(steps, **options)
        self.workshop.work_off(self.pipeline.run)
        return run_id

    @contextmanager
    def working(self, *runs: str) -> Iterator[None]:
        """Work off parcel 0 of each run on a thread of its own; all have ended with the block."""
        threads = [threading.Thread(target=self.pipeline.run, args=(run, 0)) for run in runs]
        for thread in threads:
            thread.start()
        yield
        for thread in threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()

    def assert_nothing_is_held(self) -> None:
        assert self.slots.take(2 * self.count, timeout_s=0) == self.count
        self.slots.give_back(self.count)
        assert self.held.names() == ()
        assert self.workshop.claims() == []


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(kit_module, "FIRST_PAUSE_S", 0.0)
    with StepRegistry().isolated():
        shop = Shop()
        yield shop
        shop.assert_nothing_is_held()


class Crowd:
    """Counts who is inside of a step at a time."""

    def __init__(self, size: int = 1) -> None:
        self.lock = threading.Lock()
        self.inside = self.most = self.total = 0
        self.may_leave = threading.Event()
        self.is_full = threading.Event()
        self.size = size

    def enter(self) -> None:
        with self.lock:
            self.inside += 1
            self.total += 1
            self.most = max(self.most, self.inside)
            if self.inside >= self.size:
                self.is_full.set()
        self.may_leave.wait(WAIT_S)
        with self.lock:
            self.inside -= 1


def test_blocking_steps_and_coroutines_run_side_by_side(shop: Shop) -> None:
    barrier = threading.Barrier(3)

    @step
    def GetStep() -> str:
        barrier.wait(WAIT_S)
        return "thread"

    @step(name="GetAsyncStep")
    async def awaited() -> str:
        await asyncio.to_thread(barrier.wait, WAIT_S)
        return "loop"

    run_id = shop.run("GetStep", "GetStep", "GetAsyncStep")
    assert [one.value for one in shop.workshop.outcomes(run_id)] == ["thread", "thread", "loop"]
    assert {one.worker for one in shop.workshop.outcomes(run_id)} == {WORKER}


def test_a_parcel_larger_than_the_worker_is_worked_off_in_waves(shop: Shop) -> None:
    @step
    def GetStep(value: int) -> int:
        return value

    run_id = shop.run(*({"name": "GetStep", "params": {"value": value}} for value in range(45)), max_concurrency=50)
    assert [one.value for one in shop.workshop.outcomes(run_id)] == list(range(45))


@pytest.mark.parametrize(("max_concurrency", "most"), [(2, 2), (50, SLOTS)], ids=["of the run", "of the worker"])
def test_no_more_steps_run_at_once_than_may(shop: Shop, max_concurrency: int, most: int) -> None:
    crowd = Crowd(most)

    @step
    def GetStep() -> None:
        crowd.enter()

    run_id = shop.workshop.open(["GetStep"] * 9, max_concurrency=max_concurrency)
    with shop.working(run_id):
        assert crowd.is_full.wait(WAIT_S)
        assert len(shop.workshop.claims()) == len(shop.held.names()) == most
        crowd.may_leave.set()
    assert (crowd.most, crowd.total) == (most, 9)
    assert shop.workshop.statuses(run_id) == ["succeeded"] * 9


def test_parcels_share_the_places_of_their_worker(shop: Shop) -> None:
    crowd = Crowd(SLOTS)

    @step
    def GetStep() -> None:
        crowd.enter()

    runs = [shop.workshop.open(["GetStep"] * 4) for _ in range(3)]
    with shop.working(*runs):
        assert crowd.is_full.wait(WAIT_S)
        crowd.may_leave.set()
    shop.workshop.work_off(shop.pipeline.run)
    assert [shop.workshop.statuses(run) for run in runs] == [["succeeded"] * 4] * 3
    assert crowd.most == SLOTS


def test_a_place_that_comes_free_is_taken_by_the_next_step(shop: Shop) -> None:
    crowd, quick = Crowd(), []

    @step
    def GetStep(slow: bool) -> None:
        if slow:
            crowd.enter()
        else:
            quick.append(1)

    calls = [{"name": "GetStep", "params": {"slow": slow}} for slow in (True, *[False] * 20)]
    run_id = shop.workshop.open(calls)
    with shop.working(run_id):
        wait_until(lambda: len(shop.workshop.outcomes(run_id)) == 20)
        crowd.may_leave.set()
    assert len(quick) == 20


def test_a_step_that_overruns_is_settled_and_holds_no_place(shop: Shop) -> None:
    crowd = Crowd()

    @step(timeout=0.05, retries=0)
    def GetStep() -> None:
        crowd.enter()

    @step(name="GetAsyncStep", timeout=0.05, retries=0)
    async def awaited() -> None:
        await asyncio.sleep(WAIT_S)

    run_id = shop.run("GetStep", "GetAsyncStep")
    assert shop.workshop.statuses(run_id) == ["timed_out"] * 2
    assert crowd.inside == 1
    shop.assert_nothing_is_held()
    crowd.may_leave.set()
    wait_until(lambda: crowd.inside == 0)


def test_a_failed_step_is_tried_again_with_what_is_known_of_it(shop: Shop) -> None:
    @step(retries=2, delay=1, backoff="fixed", jitter=False)
    def GetStep(ctx: StepContext) -> int:
        if ctx.attempt < 3:
            raise ConnectionError("not yet")
        return ctx.attempt

    run_id = shop.run("GetStep")
    for _ in range(2):
        assert shop.workshop.outcomes(run_id) == []
        assert shop.workshop.nudge.wait(0)
        shop.workshop.bring_retries_due()
        shop.workshop.work_off(shop.pipeline.run)
    outcome = shop.workshop.outcome(run_id)
    assert (outcome.value, outcome.attempts) == (3, 3)


def test_a_failed_step_concerns_no_other(shop: Shop) -> None:
    @step(retries=0)
    def GetStep(how: str) -> str:
        if how == "exits":
            raise SystemExit(3)
        return object() if how == "no JSON" else how  # type: ignore[return-value]

    hows = ("fine", "exits", "no JSON", "fine too")
    run_id = shop.run(*({"name": "GetStep", "params": {"how": how}} for how in hows))
    assert shop.workshop.statuses(run_id) == ["succeeded", "failed", "failed", "succeeded"]


def test_running_steps_are_stopped_by_name(shop: Shop) -> None:
    told, crowd, is_awaited = [], Crowd(1), threading.Event()

    @step(retries=0)
    def GetStep(ctx: StepContext) -> None:
        crowd.enter()
        told.append(ctx.cancelled)

    @step(name="GetAsyncStep", retries=0)
    async def awaited() -> None:
        is_awaited.set()
        try:
            await asyncio.sleep(WAIT_S)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    run_id = shop.workshop.open(["GetStep", "GetAsyncStep"])
    with shop.working(run_id):
        shop.workshop.wait_for_claims(2)
        assert crowd.is_full.wait(WAIT_S)
        assert is_awaited.wait(WAIT_S)
        shop.workshop.ledger.cancel(run_id, "enough")
        stops = shop.workshop.ledger.tick(Beat(WORKER, "beat", held=shop.held.names())).stops
        assert stops == ((run_id, 0), (run_id, 1))
        for stop in (*stops, ("another", 0)):
            shop.held.stop(*stop)
    assert shop.workshop.statuses(run_id) == ["cancelled"] * 2
    crowd.may_leave.set()
    wait_until(lambda: sorted(map(str, told)) == ["True", "cancelled"])


def test_a_stop_that_comes_between_claim_and_start_is_not_lost() -> None:
    ran = threading.Event()
    held, side, attempt = HeldSteps(), SideBySide(), attempt_of(lambda: ran.wait(WAIT_S))
    step_ = ClaimedStep(index=0, fence=1, attempt=1, failures=0, queued_ms=0.0, call=b"")
    held.stop("r", 0)
    held.add("r", [step_])
    held.stop("r", 0)
    held.start("r", 0, side, attempt)
    assert [end for _, end in side.wait(WAIT_S)] == [Stopped(STOP_REASON)]
    held.discard("r", [StepFate(0, 1, "S", "cancelled")])
    held.add("r", [step_])
    again = attempt_of(lambda: None)
    held.start("r", 0, side, again)
    assert [end for _, end in side.wait(WAIT_S)] == [Returned(None)]
    ran.set()


def test_a_worker_that_goes_down_finishes_what_it_has_and_claims_no_more(shop: Shop) -> None:
    crowd = Crowd(2)

    @step
    def GetStep() -> None:
        crowd.enter()

    run_id = shop.workshop.open(["GetStep"] * 5, max_concurrency=2)
    shop.workshop.publisher.take()
    with shop.working(run_id):
        assert crowd.is_full.wait(WAIT_S)
        shop.workshop.is_draining.set()
        crowd.may_leave.set()
    assert shop.workshop.statuses(run_id) == ["succeeded"] * 2
    assert [parcel.run_id for parcel in shop.workshop.publisher.take()] == [run_id], "for another worker"
    shop.pipeline.run(run_id, 0)
    assert crowd.total == 2


def test_a_message_for_what_is_done_or_gone_is_dropped(shop: Shop) -> None:
    ran = []

    @step
    def GetStep() -> None:
        ran.append(1)

    run_id = shop.run("GetStep")
    shop.pipeline.run(run_id, 0)
    shop.pipeline.run("never was", 0)
    assert ran == [1]


def test_a_claim_that_redis_does_not_answer_holds_no_place(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise BrokerUnavailable("away")

    @step
    def GetStep() -> None: ...

    run_id = shop.workshop.open(["GetStep"])
    with monkeypatch.context() as patch:
        patch.setattr(type(shop.workshop.ledger), "claim", away)
        with pytest.raises(BrokerUnavailable):
            shop.pipeline.run(run_id, 0)
    shop.assert_nothing_is_held()
    shop.workshop.work_off(shop.pipeline.run)
    assert shop.workshop.statuses(run_id) == ["succeeded"]


def test_outcomes_are_told_and_results_are_read_until_redis_answers(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, failures = type(shop.workshop.ledger), {"read": 2, "settle_and_claim_next": 2}

    def at_last(verb: str) -> Any:
        call = getattr(ledger, verb)

        def answer(*arguments: Any, **options: Any) -> Any:
            if failures[verb]:
                failures[verb] -= 1
                raise BrokerUnavailable("away")
            return call(*arguments, **options)

        return answer

    @step
    def GetStep(ctx: StepContext) -> list[str]:
        return sorted(ctx.results)

    run_id = shop.workshop.open(["GetStep", "GetStep"], max_concurrency=1)
    for verb in failures:
        monkeypatch.setattr(ledger, verb, at_last(verb))
    shop.workshop.work_off(shop.pipeline.run)
    assert failures == {"read": 0, "settle_and_claim_next": 0}
    assert [one.value for one in shop.workshop.outcomes(run_id)] == [[], ["GetStep", "step_0_result"]]


def test_a_fault_of_the_worker_fails_the_steps_it_met(shop: Shop) -> None:
    @step
    def GetStep() -> None: ...

    run_id = shop.workshop.open(["GetStep"] * 3)
    key = f"stepline:v1:run:{run_id}"
    meta = shop.workshop.client.hget(key, "meta")
    shop.workshop.client.hset(key, "meta", "no JSON")
    shop.workshop.work_off(shop.pipeline.run)
    shop.workshop.client.hset(key, "meta", meta)
    errors = {one.error.type for one in shop.workshop.outcomes(run_id) if one.error}
    assert (shop.workshop.statuses(run_id), errors) == (["failed"] * 3, {"WorkerFault"})


def test_a_fault_after_a_step_has_run_fails_that_step_alone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    conclude = side_parcel.conclude

    def break_once(kit: Any, in_hand: Any, end: Any, *, remaining_s: float | None) -> StepFate:
        if in_hand.claimed.index == 1:
            raise MemoryError("no room")
        return conclude(kit, in_hand, end, remaining_s=remaining_s)

    monkeypatch.setattr(side_parcel, "conclude", break_once)

    @step
    def GetStep() -> None: ...

    run_id = shop.run("GetStep", "GetStep", "GetStep")
    assert shop.workshop.statuses(run_id) == ["succeeded", "failed", "succeeded"]


def test_a_settle_that_is_refused_is_no_end(shop: Shop) -> None:
    crowd = Crowd()

    @step
    def GetStep() -> None:
        crowd.enter()

    run_id = shop.workshop.open(["GetStep"])
    shop.workshop.publisher.take()
    with shop.working(run_id):
        assert crowd.is_full.wait(WAIT_S)
        ledger = shop.workshop.ledger
        beats = ledger.tick(Beat("other", "join", "parallel")).beats
        ledger.tick(Beat("other", "beat", reap=((WORKER, beats[WORKER]),)))
        crowd.may_leave.set()
    assert shop.workshop.outcomes(run_id) == []
    assert ledger.claim(run_id, 0, worker="other", want=1, with_meta=False).steps[0].attempt == 2  # type: ignore[union-attr]


def test_a_step_that_this_worker_does_not_know_is_left_to_others(shop: Shop) -> None:
    with StepRegistry().isolated():

        @step(critical=False)
        def GetRareStep() -> None: ...

        run_id = shop.workshop.open(["GetRareStep"])
    shop.workshop.work_off(shop.pipeline.run)
    assert shop.workshop.outcomes(run_id) == []
    assert shop.workshop.nudge.wait(0)


def test_a_completion_body_gets_the_outcomes_of_all_steps(shop: Shop) -> None:
    bodies = []

    @step(retries=0)
    def GetStep(value: int) -> int:
        return value or 1 // value

    @step
    async def GetEndStep(outcomes: list[dict[str, Any]]) -> None:
        bodies.append([(one["id"], one["status"], one["value"]) for one in outcomes])

    shop.run(
        {"name": "GetStep", "params": {"value": 0}},
        {"name": "GetStep", "params": {"value": 5}},
        then="GetEndStep",
    )
    assert bodies == [[("GetStep", "failed", None), ("GetStep_2", "succeeded", 5)]]


class Processes:
    """Stands for processes of their own: attempts end as the test says, at once."""

    def __init__(self, *ends: End) -> None:
        self.ends = list(ends)
        self.deadlines: list[float | None] = []
        self.names: list[str] = []

    def within(self, run_deadline: float | None) -> "Processes":
        self.deadlines.append(run_deadline)
        return self

    def submit(self, attempt: Attempt, tell: Callable[[End, float], None]) -> None:
        self.names.append(attempt.call.name)
        tell(self.ends.pop(0), attempt.started)

    def stop(self, attempt: Attempt, reason: str) -> None: ...


def tick(shop: Shop) -> None:
    """Do what the keeper of this worker does at a beat."""
    dead = shop.held.dead_claims()
    beat = Beat(WORKER, "beat", held=shop.held.names(), dead_claims=dead)
    shop.workshop.publisher.publish(shop.workshop.ledger.tick(beat).ready)
    shop.held.acknowledge(dead)


def test_only_a_step_that_says_so_runs_in_a_process_of_its_own(shop: Shop) -> None:
    processes = Processes(Decided(Settle("succeeded", "there")))
    shop.workshop.kit.own_processes = processes  # type: ignore[assignment]

    @step
    def GetStep() -> str:
        return "here"

    step(name="GetOwnStep", critical=False, isolation="process")(lambda: None)
    run_id = shop.run("GetStep", "GetOwnStep")
    assert [one.value for one in shop.workshop.outcomes(run_id)] == ["here", "there"]
    assert processes.names == ["GetOwnStep"]
    assert processes.deadlines[0] is not None


def test_a_step_whose_process_dies_is_left_to_the_ledger_which_counts(shop: Shop) -> None:
    shop.workshop.kit.own_processes = Processes(*[Died("ended by SIGKILL")] * 3)  # type: ignore[assignment]
    step(name="GetOwnStep", critical=False, isolation="process")(lambda: None)

    @step
    def GetStep() -> None: ...

    run_id = shop.run("GetOwnStep", "GetStep")
    for _ in range(3):
        assert shop.workshop.statuses(run_id) == ["succeeded"]
        assert shop.workshop.nudge.wait(0)
        assert len(shop.held.dead_claims()) == len(shop.held.names()) == 1
        assert shop.slots.take(2 * SLOTS, timeout_s=0) == SLOTS
        shop.slots.give_back(SLOTS)
        tick(shop)
        assert shop.held.dead_claims() == ()
        shop.workshop.work_off(shop.pipeline.run)
    lost = shop.workshop.outcomes(run_id)[0]
    assert lost.error is not None
    assert (lost.status, lost.error.type, lost.attempts) == ("lost", "WorkerLost", 3)


def test_a_step_whose_process_ended_with_an_announcement_is_given_back_and_no_death_is_counted(shop: Shop) -> None:
    ends = (Died("its worker stood still", is_announced=True), Decided(Settle("succeeded", "there")))
    shop.workshop.kit.own_processes = Processes(*ends)  # type: ignore[assignment]
    step(name="GetOwnStep", critical=False, isolation="process")(lambda: None)
    run_id = shop.run("GetOwnStep")
    outcome = shop.workshop.outcome(run_id)
    assert (outcome.value, outcome.attempts, shop.workshop.deaths(run_id)) == ("there", 2, 0)
    assert shop.held.dead_claims() == shop.held.names() == ()


def test_a_suspect_runs_in_a_process_of_its_own(shop: Shop) -> None:
    processes = Processes(Decided(Settle("succeeded", "there")))
    shop.workshop.kit.own_processes = processes  # type: ignore[assignment]

    @step
    def GetStep(value: int) -> str:
        return "here"

    ledger, calls = shop.workshop.ledger, [{"name": "GetStep", "params": {"value": value}} for value in range(2)]
    run_id = shop.workshop.open(calls)
    beats = ledger.tick(Beat("other", "join", "parallel")).beats
    ledger.claim(run_id, 0, worker="other", want=1, with_meta=False)
    shop.workshop.publisher.publish(ledger.tick(Beat(WORKER, "beat", reap=(("other", beats["other"]),))).ready)
    shop.workshop.work_off(shop.pipeline.run)
    assert [one.value for one in shop.workshop.outcomes(run_id)] == ["there", "here"]
    assert processes.names == ["GetStep"]


def test_a_claim_granted_again_before_the_death_of_the_last_one_is_acknowledged_stays_listed() -> None:
    held = HeldSteps()

    def claimed(fence: int) -> ClaimedStep:
        return ClaimedStep(index=0, fence=fence, attempt=1, failures=0, queued_ms=0.0, call=b"")

    held.add("r", [claimed(1)])
    held.die("r", 0, 1)
    dead = held.dead_claims()
    held.add("r", [claimed(2)])
    assert held.dead_claims() == ()
    held.acknowledge(dead)
    assert held.names() == ("r:0",)
    held.die("r", 0, 2)
    held.acknowledge(dead)
    assert held.dead_claims() == (("r:0", 2),)
