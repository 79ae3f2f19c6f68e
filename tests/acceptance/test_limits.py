"""Limits of a step over the whole site: over several workers and runs, through deaths, and no other step waits."""

from collections.abc import Callable
from itertools import pairwise

from producer import Producer, Run
from tests.support.latches import Journal, Latch
from tests.support.processes import wait_until
from tests.support.worker_sites import WorkerSite

STARTS, WITHIN_US = 5, 1_000_000
"""The rate of GetAtARateStep."""

MOST_ROUNDS = 20


def test_no_more_of_a_step_run_at_once_than_it_allows(mortal_site: WorkerSite, journal: Journal) -> None:
    producer = mortal_site.producer

    def call(run: int, number: int) -> dict[str, object]:
        return {"name": "GetByTwosStep", "params": {"journal": journal.path, "label": f"{run}.{number}"}}

    # Which worker takes a message is chance; the limit is shown once both have had a part in it.
    rounds = 0
    while len({line["pid"] for line in journal.lines()}) < 2:
        assert rounds < MOST_ROUNDS, "one worker took everything"
        numbers = range(3 * rounds, 3 * rounds + 3)
        runs = [producer.submit([call(run, number) for number in range(10)]) for run in numbers]
        assert all(run.gather(timeout=30).ok for run in runs)
        rounds += 1
    intervals = journal.intervals()
    assert len(intervals) == 30 * rounds
    edges = sorted([(began, 1) for began, _ in intervals.values()] + [(ended, -1) for _, ended in intervals.values()])
    at_once = most = 0
    for _, change in edges:
        at_once += change
        most = max(most, at_once)
    assert most == 2


def test_the_place_of_a_worker_that_was_killed_is_given_on(
    mortal_site: WorkerSite, latches: Callable[[str], Latch]
) -> None:
    first, second = latches("first"), latches("second")
    holder = mortal_site.producer.submit([first.call("GetHeldAloneStep")])
    (begun,) = first.wait_until_begun()
    behind = mortal_site.producer.submit([second.call("GetHeldAloneStep")])
    _wait_until_held(behind)
    mortal_site.kill(mortal_site.worker_of(begun["pid"]))
    second.wait_until_begun()  # While the first is still held: it waits for the place that it lost.
    second.open()
    assert behind.gather(timeout=20).ok
    first.open()
    assert [one.status for one in holder.gather(timeout=20).outcomes] == ["succeeded"]
    assert len(second.lines("began")) == 1


def test_the_place_of_a_step_that_is_cancelled_is_given_on(producer: Producer, latches: Callable[[str], Latch]) -> None:
    first, second, third = latches("first"), latches("second"), latches("third")
    holder = producer.submit([first.call("GetHeldAloneStep")])
    first.wait_until_begun()
    behind, last = (producer.submit([latch.call("GetHeldAloneStep")]) for latch in (second, third))
    _wait_until_held(behind)
    _wait_until_held(last)
    behind.cancel()
    assert [one.status for one in behind.gather(timeout=20).outcomes] == ["cancelled"]
    holder.cancel_step("GetHeldAloneStep")
    third.wait_until_begun()
    third.open()
    assert last.gather(timeout=20).ok
    assert second.lines() == []


def test_no_more_of_a_step_start_in_a_time_than_its_rate_allows(mortal_site: WorkerSite) -> None:
    producer = mortal_site.producer
    runs = [producer.submit(["GetAtARateStep"] * 7) for _ in range(2)]
    results = [run.gather(timeout=30) for run in runs]
    assert all(result.ok for result in results)
    started = sorted(
        int(event["at"]) for run in runs for event in mortal_site.events(run.id) if event["event"] == "step.started"
    )
    assert len(started) == 14
    assert all(later - earlier >= WITHIN_US for earlier, later in zip(started, started[STARTS:], strict=False))
    assert started[-1] - started[0] < 4 * WITHIN_US  # and hardly fewer
    assert len({outcome.worker for result in results for outcome in result.outcomes}) == 2


def test_a_step_over_its_limit_holds_up_no_other(producer: Producer, latch: Latch, journal: Journal) -> None:
    held = producer.submit([latch.call("GetHeldAloneStep")])
    latch.wait_until_begun()
    many = [latch.call("GetHeldAloneStep") for _ in range(60)]
    mixed = producer.submit([*many, "GetEchoStep", "GetEchoStep"], max_concurrency=10)
    _wait_until_held(mixed)
    for _ in range(5):
        assert producer.run(["GetEchoStep"] * 10, timeout=10).ok
    wait_until(lambda: mixed.status().counts["succeeded"] == 2)
    assert mixed.status().counts["pending"] == 60
    mixed.cancel()
    latch.open()
    assert held.gather(timeout=20).ok
    assert len(latch.lines("began")) == 1


def test_a_critical_step_over_its_limit_waits_for_those_of_other_lanes(producer: Producer, journal: Journal) -> None:
    def call(lane: str, number: int) -> dict[str, object]:
        return {
            "name": "WriteAloneStep", "lane": lane, "params": {"journal": journal.path, "label": f"{lane}.{number}"},
        }  # fmt: skip

    runs = [producer.submit([call(lane, number) for number in range(4)]) for lane in "abc"]
    assert all(run.gather(timeout=30).ok for run in runs)
    intervals = sorted(journal.intervals().values())
    assert len(intervals) == 12
    assert all(first[1] <= second[0] for first, second in pairwise(intervals))


def _wait_until_held(run: Run) -> None:
    wait_until(lambda: any("as its max_running allows" in sentence for sentence in run.status().waits_for))
