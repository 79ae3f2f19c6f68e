"""What is said of a run while it goes: its state, its counts, and every reason it may wait for."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from producer.overview import Overview
from producer.run_status import PENDING, RunStatus, status_of
from steps.decorator import step
from steps.ledger.records import Beat, Claimed, StepFate
from steps.outcome import STATUSES
from steps.registry import StepRegistry
from tests.support.ledgers import FAILED, OK
from tests.support.worker_kits import WORKER, Workshop

SIDE_WORKER = "side"
MINUTE_US = "60000000"


@pytest.fixture(autouse=True)
def _steps() -> Iterator[None]:
    with StepRegistry().isolated():
        step(name="GetStep", critical=False)(lambda: None)
        step(name="WriteStep", critical=True)(lambda: None)
        step(name="GetFewStep", critical=False, max_running=1)(lambda: None)
        step(name="WriteFewStep", critical=True, max_running=1)(lambda: None)
        step(name="GetSlowlyStep", critical=False, rate="1/h")(lambda: None)
        yield


@pytest.fixture
def shop() -> Workshop:
    """A site with a worker on critical, and none on parallel."""
    return Workshop()


def status(shop: Workshop, run_id: str) -> RunStatus:
    return Overview(shop.ledger, shop.settings).status(run_id)


def waits_for(shop: Workshop, run_id: str) -> list[str]:
    """Return what a run waits for, times replaced."""
    time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
    return [time.sub("TIME", sentence) for sentence in status(shop, run_id).waits_for]


def join_side(shop: Workshop) -> None:
    shop.ledger.tick(Beat(SIDE_WORKER, "join", "parallel"))


def claim(shop: Workshop, run_id: str, parcel: int = 0, *, worker: str = WORKER, want: int = 1) -> Claimed:
    claimed = shop.ledger.claim(run_id, parcel, worker=worker, want=want, with_meta=False)
    assert claimed is not None
    return claimed


def settle(
    shop: Workshop, run_id: str, claimed: Claimed, kind: str = "S", argument: str = "succeeded", parcel: int = 0
) -> None:
    payload = {"succeeded": OK, "failed": FAILED}.get(argument, "")
    fates = [StepFate(one.index, one.fence, kind, argument, payload) for one in claimed.steps]
    settled = shop.ledger.settle(run_id, parcel, fates, worker=WORKER)
    shop.ledger.finish(settled.unfinished)
    assert all(settled.accepted)


def do(shop: Workshop, run_id: str, parcel: int = 0, **more: Any) -> None:
    settle(shop, run_id, claim(shop, run_id, parcel), parcel=parcel, **more)


def test_a_run_that_is_not_there_is_not_found_and_has_nothing_else_to_say(shop: Workshop) -> None:
    found = status(shop, "never-was")
    assert found == status_of("never-was", None)
    assert (found.run_id, found.state, found.ok, found.total, found.waits_for) == (
        "never-was",
        "not_found",
        None,
        0,
        (),
    )
    assert found.counts == dict.fromkeys((*STATUSES, PENDING), 0)


def test_a_run_goes_from_queued_to_completed(shop: Workshop) -> None:
    run = shop.open(["WriteStep", "GetStep"], name="view 42", priority="high", strategy="simple")
    queued = status(shop, run)
    assert (queued.state, queued.started_ms, queued.settled_ms, queued.ok) == ("queued", None, None, None)
    assert (queued.name, queued.mode, queued.strategy, queued.priority) == ("view 42", "hybrid", "simple", 16)
    assert (queued.total, queued.counts[PENDING], queued.after) == (2, 2, ())
    do(shop, run)
    running = status(shop, run)
    assert (running.state, running.counts["succeeded"], running.counts[PENDING]) == ("running", 1, 1)
    assert running.submitted_ms is not None
    assert running.started_ms is not None
    assert running.submitted_ms <= running.started_ms
    do(shop, run, 1)
    done = status(shop, run)
    assert (done.state, done.ok, done.counts["succeeded"], done.counts[PENDING]) == ("completed", True, 2, 0)
    assert done.waits_for == ()
    assert done.settled_ms is not None
    assert done.duration_ms == pytest.approx(done.settled_ms - running.submitted_ms, abs=0.01)
    assert status(shop, run) == done  # it goes on no more


def test_counts_are_of_all_outcomes_and_a_run_with_any_other_than_success_is_not_ok(shop: Workshop) -> None:
    run = shop.open(["WriteStep", "WriteStep", "GetStep", "GetStep"])
    do(shop, run, argument="failed")
    do(shop, run, 1)
    shop.ledger.finish((run,))
    shop.ledger.cancel(run, "enough")
    done = status(shop, run)
    expected = {"failed": 1, "skipped": 1, "succeeded": 1, "cancelled": 1}
    assert {name: count for name, count in done.counts.items() if count} == expected
    assert (done.state, done.ok) == ("completed", False)


def test_an_empty_run_is_completed_and_ok(shop: Workshop) -> None:
    done = status(shop, shop.open([]))
    assert (done.state, done.ok, done.total, done.mode) == ("completed", True, 0, "parallel")


def test_a_cancelled_run_with_running_steps_is_stopping_and_waits_for_nothing_else(shop: Workshop) -> None:
    run = shop.open(["WriteStep", "WriteStep"])
    claim(shop, run)
    shop.ledger.cancel(run, "enough")
    stopping = status(shop, run)
    assert (stopping.state, stopping.waits_for, stopping.counts["cancelled"]) == ("stopping", (), 1)


def test_what_is_said_is_json(shop: Workshop) -> None:
    record = status(shop, shop.open(["GetStep"])).as_dict()
    assert record["waits_for"] == ["no live worker on parallel"]
    assert record["after"] == []
    assert set(record) == set(RunStatus.__slots__)


# what it waits for -----------------------------------------------------------------------------------------------


def test_it_waits_for_a_worker_where_none_lives(shop: Workshop) -> None:
    run = shop.open(["GetStep", "WriteStep"], order="overlap")
    shop.ledger.tick(Beat(WORKER, "leave", "critical"))
    assert waits_for(shop, run) == ["no live worker on critical", "no live worker on parallel"]


def test_it_waits_for_a_free_slot_where_workers_live(shop: Workshop) -> None:
    run = shop.open(["GetStep", "WriteStep"], order="overlap")
    join_side(shop)
    assert waits_for(shop, run) == ["a free slot on critical", "a free slot on parallel"]


def test_reads_wait_for_the_writes_before_them(shop: Workshop) -> None:
    run = shop.open(["WriteStep", "GetStep"])
    assert waits_for(shop, run) == ["a free slot on critical", "its critical steps, which come first"]
    claim(shop, run)
    assert waits_for(shop, run) == ["its critical steps, which come first"]


def test_a_run_whose_steps_all_run_waits_for_nothing(shop: Workshop) -> None:
    run = shop.open(["WriteStep", "WriteStep"])
    claim(shop, run)
    assert waits_for(shop, run) == []


def test_it_waits_for_the_run_that_holds_its_lane(shop: Workshop) -> None:
    holder, behind = shop.open(["WriteStep"]), shop.open(["WriteStep"])
    assert waits_for(shop, behind) == [f"lane global held by {holder} since TIME"]
    claim(shop, holder)
    assert waits_for(shop, behind) == [f"lane global held by {holder} since TIME"]


def test_it_waits_for_a_run_that_comes_first_in_its_lane_and_has_not_come_there_yet(shop: Workshop) -> None:
    first = shop.open([{"name": "WriteStep", "lane": "a"}, {"name": "WriteStep", "lane": "b"}])
    behind = shop.open([{"name": "WriteStep", "lane": "b"}])
    assert waits_for(shop, behind) == [f"lane b, in which run {first} comes first"]
    do(shop, first)
    assert waits_for(shop, behind) == [f"lane b held by {first} since TIME"]


def test_it_waits_for_its_own_steps_where_as_many_run_as_may(shop: Workshop) -> None:
    join_side(shop)
    run = shop.open(["GetStep"] * 3, max_concurrency=2)
    claim(shop, run, worker=SIDE_WORKER, want=2)
    assert waits_for(shop, run) == ["its own steps: 2 of them run at once at most (max_concurrency)"]


def test_it_waits_for_a_retry(shop: Workshop) -> None:
    run = shop.open([{"name": "WriteStep", "id": "write_it"}, "WriteStep"])
    do(shop, run, kind="R", argument=MINUTE_US)
    assert waits_for(shop, run) == ["the retry of write_it at TIME"]


def test_it_waits_for_a_worker_that_knows_the_step(shop: Workshop) -> None:
    run = shop.open(["WriteStep"])
    do(shop, run, kind="P", argument=MINUTE_US)
    assert waits_for(shop, run) == ["a worker that knows WriteStep"]


def test_the_retry_of_a_read_hides_no_lane_and_no_lack_of_workers(shop: Workshop) -> None:
    run = shop.open(["WriteStep", "GetStep"], order="overlap")
    do(shop, run, 1, kind="R", argument=MINUTE_US)
    assert waits_for(shop, run) == ["the retry of GetStep at TIME", "a free slot on critical"]


def test_it_waits_for_a_place_where_as_many_run_as_the_step_allows(shop: Workshop) -> None:
    join_side(shop)
    holder, run = shop.open(["GetFewStep"]), shop.open(["GetFewStep", "WriteStep"], order="overlap")
    claim(shop, holder, worker=SIDE_WORKER)
    assert claim(shop, run, 1, worker=SIDE_WORKER).steps == ()
    assert waits_for(shop, run) == [
        "a place for GetFewStep: as many of it run as its max_running allows",
        "a free slot on critical",
    ]


def test_a_critical_step_waits_for_a_place_and_not_for_a_worker(shop: Workshop) -> None:
    calls = [{"name": "WriteFewStep", "lane": lane} for lane in ("a", "b")]
    holder, run = shop.open(calls[:1]), shop.open(calls[1:])
    claim(shop, holder)
    assert claim(shop, run).steps == ()
    assert waits_for(shop, run) == ["a place for WriteFewStep: as many of it run as its max_running allows"]


def test_it_waits_for_the_start_that_a_rate_delays(shop: Workshop) -> None:
    join_side(shop)
    run = shop.open(["GetSlowlyStep", "GetSlowlyStep"])
    claim(shop, run, worker=SIDE_WORKER, want=2)
    assert waits_for(shop, run) == ["the start of GetSlowlyStep_2, which its rate delays"]


def test_it_waits_for_those_of_the_runs_before_it_that_are_open(shop: Workshop) -> None:
    first, second, third = (shop.open([{"name": "WriteStep", "lane": lane}]) for lane in "abc")
    run = shop.open(["GetStep"], after=[first, second, third])
    waiting = status(shop, run)
    assert (waiting.state, waiting.after) == ("waiting", (first, second, third))
    assert waits_for(shop, run) == [f"run {leader} to settle" for leader in (first, second, third)]
    do(shop, second)
    assert waits_for(shop, run) == [f"run {first} to settle", f"run {third} to settle"]
    do(shop, third)
    do(shop, first, argument="failed")
    shop.ledger.finish((run,))
    assert status(shop, run).state == "queued"
    assert waits_for(shop, run) == ["no live worker on parallel"]


def test_the_same_is_said_once(shop: Workshop) -> None:
    run = shop.open(["GetStep"] * 1_200, max_concurrency=1_000)
    assert waits_for(shop, run) == ["no live worker on parallel"]


def test_many_retries_are_not_all_told(shop: Workshop) -> None:
    join_side(shop)
    run = shop.open(["GetStep"] * 50, max_concurrency=50)
    settle(shop, run, claim(shop, run, worker=SIDE_WORKER, want=50), kind="R", argument=MINUTE_US)
    assert len(waits_for(shop, run)) == 20
