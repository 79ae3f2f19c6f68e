"""The statistics of a site are those of what was run on it, with workers killed in between."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from producer import Result, Run
from steps.outcome import STATUSES
from tests.acceptance.conftest import QUICK_DEATHS
from tests.support.latches import Latch
from tests.support.processes import wait_until
from tests.support.worker_sites import WorkerSite


def test_statistics_equal_what_was_run_whatever_died(tmp_path: Path, latches: Callable[[str], Latch]) -> None:
    site = WorkerSite(tmp_path, scale={"parallel": 2}, variables=QUICK_DEATHS)
    site.start()
    try:
        site.wait_until_whole()
        runs = _run_with_deaths(site, latches("reads"), latches("writes"))
        results = [run.gather(timeout=40) for run in runs]
        wait_until(lambda: all(site.is_closed(run.id) for run in runs))
        site.wait_until_whole()
        _compare(site, results)
    finally:
        site.stop()


def _run_with_deaths(site: WorkerSite, reads: Latch, writes: Latch) -> list[Run]:
    """Submit runs of all kinds, and kill a worker of either queue in the middle of them."""
    producer = site.producer
    runs = [
        producer.submit([*["GetEchoStep"] * 20, *[reads.call("GetHeldOnceStep") for _ in range(4)], "GetFailureStep"]),
        producer.submit([writes.call("WriteHeldOnceStep"), "WriteFailureStep", "WriteEchoStep", "GetEchoStep"]),
        producer.submit([{"name": "GetHeldStep", "params": {"latch": reads.path + "-late"}, "timeout": 0.1}]),
    ]
    begun_reads, begun_writes = reads.wait_until_begun(4), writes.wait_until_begun()
    site.kill(site.worker_of(begun_reads[0]["pid"]))
    site.kill(site.worker_of(begun_writes[0]["pid"]))
    runs += [producer.submit(["GetEchoStep"] * 3, priority="high", then="GetEchoStep") for _ in range(5)]
    cancelled = producer.submit(["WriteEchoStep", "GetEchoStep"], after=[runs[1].id])
    cancelled.cancel()
    reads.wait_for("again")
    writes.wait_for("again")
    reads.open()
    return [*runs, cancelled, producer.submit([])]


def _compare(site: WorkerSite, results: list[Result]) -> None:
    outcomes = [outcome for result in results for outcome in result.outcomes]
    statuses = Counter(outcome.status for outcome in outcomes)
    assert {"succeeded", "failed", "timed_out", "cancelled", "skipped"} <= set(statuses)
    assert max(outcome.attempts for outcome in outcomes) == 2  # somebody did die
    found = site.producer.stats()
    assert found.outcomes == {status: statuses[status] for status in STATUSES}
    assert (found.total_executions, found.active_executions) == (len(results), 0)
    assert found.ok_executions == sum(result.ok for result in results)
    assert found.sequential_executions == sum(outcome.critical for outcome in outcomes)
    assert found.parallel_executions == sum(not outcome.critical for outcome in outcomes)
    assert found.success_rate == pytest.approx(statuses["succeeded"] / len(outcomes))
    assert found.total_ms == pytest.approx(sum(result.total_ms for result in results), abs=0.01)
    assert found.schedule.scheduled == len(results)
    assert sum(found.classifier.decisions.values()) == len(outcomes)
    assert (found.system.queue_length, found.system.busy_slots, found.system.workers) == (0, 0, 3)
    for one in found.steps:
        own = [outcome for outcome in outcomes if outcome.name == one.name]
        assert one.outcomes == {status: Counter(outcome.status for outcome in own)[status] for status in STATUSES}
        ran_ms = [outcome.ran_ms for outcome in own if outcome.ran_ms]
        assert one.average_ms == pytest.approx(sum(ran_ms) / max(len(ran_ms), 1), abs=0.002)
    assert {one.name for one in found.steps} == {outcome.name for outcome in outcomes}
    pending = site.producer.queues()
    assert [(queue.length, queue.running, queue.oldest_ms) for queue in pending.queues] == [(0, 0, None)] * 2
    assert pending.lanes == ()
