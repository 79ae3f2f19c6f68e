"""Runs that begin when others have settled."""

import pytest

from producer import Producer, Run
from steps import RunUnknown
from tests.support.latches import Journal, Latch
from tests.support.processes import wait_until
from tests.support.worker_sites import WorkerSite


def test_runs_begin_in_the_order_in_which_they_wait_for_each_other(producer: Producer, journal: Journal) -> None:
    runs: list[Run] = []
    for number in range(8):
        calls = [_noted(journal, f"{number}.{part}") for part in range(3)]
        runs.append(producer.submit(calls, after=[run.id for run in runs[-2:]]))
    assert all(run.gather(timeout=30).ok for run in runs)
    ended = journal.intervals()
    for number in range(7):
        last = max(ended[f"{number}.{part}"][1] for part in range(3))
        assert all(ended[f"{number + 1}.{part}"][0] >= last for part in range(3))


@pytest.mark.parametrize("name", ["GetFailureStep", "WriteFailureStep"])
def test_a_run_begins_behind_one_that_failed_too(producer: Producer, latch: Latch, name: str) -> None:
    leader = producer.submit([latch.call("GetHeldStep"), name])
    follower = producer.submit(["GetEchoStep"], after=[leader.id])
    assert follower.status().state == "waiting"
    assert follower.status().waits_for == (f"run {leader.id} to settle",)
    latch.open()
    assert not leader.gather(timeout=20).ok
    result = follower.gather(timeout=20)
    assert result.ok
    assert [event.event for event in follower.events()][:2] == ["run.waiting", "run.started"]


def test_a_run_begins_behind_one_that_was_cancelled_and_behind_one_past_its_deadline(
    producer: Producer, latch: Latch
) -> None:
    cancelled = producer.submit([latch.call("GetHeldStep")])
    late = producer.submit([latch.call("GetHeldStep")], deadline=0.2)
    follower = producer.submit(["WriteEchoStep"], after=[cancelled.id, late.id])
    latch.wait_until_begun(2)
    cancelled.cancel()
    assert follower.gather(timeout=20).ok
    assert late.status().counts["timed_out"] == 1


def test_a_run_behind_one_that_has_settled_begins_at_once(producer: Producer) -> None:
    leader = producer.submit(["GetEchoStep"])
    leader.gather(timeout=20)
    assert producer.run(["GetEchoStep"], after=[leader.id], timeout=20).ok


def test_the_deadline_of_a_waiting_run_counts_from_its_turn(producer: Producer, latch: Latch) -> None:
    leader = producer.submit([latch.call("GetHeldStep")])
    latch.wait_until_begun()
    follower = producer.submit(["GetEchoStep"], after=[leader.id], deadline=0.3)
    other = producer.submit([latch.call("GetHeldStep")], deadline=0.4)
    other.gather(timeout=20)  # Longer than the follower has.
    assert follower.status().state == "waiting"
    latch.open()
    assert follower.gather(timeout=20).ok


def test_a_waiting_run_that_is_cancelled_never_starts(producer: Producer, latch: Latch) -> None:
    leader = producer.submit([latch.call("GetHeldStep")])
    follower = producer.submit(["GetEchoStep", "WriteEchoStep"], after=[leader.id])
    follower.cancel("not needed")
    result = follower.gather(timeout=20)
    assert [(one.status, one.attempts) for one in result.outcomes] == [("cancelled", 0)] * 2
    latch.open()
    assert leader.gather(timeout=20).ok


def test_a_waiting_run_takes_no_place_in_a_lane(producer: Producer, latch: Latch) -> None:
    leader = producer.submit([latch.call("GetHeldStep")])
    latch.wait_until_begun()
    follower = producer.submit(["WriteEchoStep"], after=[leader.id])
    assert producer.run(["WriteEchoStep"], timeout=20).ok
    latch.open()
    assert follower.gather(timeout=20).ok


def test_a_run_begins_behind_one_whose_worker_was_killed(mortal_site: WorkerSite, latch: Latch) -> None:
    producer = mortal_site.producer
    leader = producer.submit([latch.call("GetHeldOnceStep")])
    follower = producer.submit(["GetEchoStep"], after=[leader.id])
    (begun,) = latch.wait_until_begun()
    mortal_site.kill(mortal_site.worker_of(begun["pid"]))
    assert follower.gather(timeout=30).ok
    assert leader.status().state == "completed"
    assert len(latch.lines("again")) == 1


def test_a_run_that_is_not_there_can_not_be_waited_for(producer: Producer) -> None:
    scheduled = producer.stats().schedule.scheduled
    with pytest.raises(RunUnknown, match="never-was"):
        producer.submit(["GetEchoStep"], after=["never-was"])
    assert producer.stats().schedule.scheduled == scheduled


def test_an_empty_run_waits_for_its_turn_as_any_other(producer: Producer, latch: Latch) -> None:
    leader = producer.submit([latch.call("GetHeldStep")])
    follower = producer.submit([], after=[leader.id])
    wait_until(lambda: follower.status().state == "waiting")
    latch.open()
    assert follower.gather(timeout=20).ok


def _noted(journal: Journal, label: str) -> dict[str, object]:
    return {"name": "GetJournalStep", "params": {"journal": journal.path, "label": label}}
