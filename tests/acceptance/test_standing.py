"""How a run stands to others and to its caller, on real workers: paused, superseded, submitted twice, not wanted."""

import signal
import time
from collections.abc import Callable

import pytest

from producer import Producer
from steps import KeyConflict
from tests.support.latches import Journal, Latch
from tests.support.processes import wait_until
from tests.support.worker_sites import WorkerSite

ENDS_WITHIN_S = 10.0


def write(journal: Journal, label: str) -> dict[str, object]:
    return {"name": "WriteJournalStep", "params": {"journal": journal.path, "label": label, "seconds": 0}}


def test_a_paused_run_finishes_its_step_lets_others_pass_and_goes_on_when_it_is_resumed(
    producer: Producer, latch: Latch, journal: Journal
) -> None:
    paused = producer.submit([latch.call("WriteHeldStep"), write(journal, "paused")], name="paused")
    latch.wait_until_begun()
    paused.pause()
    assert paused.status().state == "paused"
    other = producer.submit([write(journal, "other")])
    latch.open()
    assert other.gather(timeout=ENDS_WITHIN_S).ok
    assert paused.status().counts["succeeded"] == 1
    assert paused.status().waits_for == ("somebody to resume it",)
    paused.resume()
    assert paused.gather(timeout=ENDS_WITHIN_S).ok
    assert list(journal.intervals()) == ["other", "paused"]


def test_a_paused_run_starts_no_more_of_its_reads(producer: Producer, latches: Callable[[str], Latch]) -> None:
    first, second = latches("first"), latches("second")
    run = producer.submit([first.call("GetHeldStep"), second.call("GetHeldStep")], max_concurrency=1)
    first.wait_until_begun()
    run.pause()
    first.open()
    wait_until(lambda: run.status().counts["succeeded"] == 1)
    assert not second.lines("began")
    run.resume()
    second.wait_until_begun()
    second.open()
    assert run.gather(timeout=ENDS_WITHIN_S).ok


def test_a_paused_run_can_be_cancelled(producer: Producer, journal: Journal) -> None:
    run = producer.submit([write(journal, "never")], after=[producer.submit(["GetEchoStep"]).id])
    run.pause()
    run.cancel()
    (outcome,) = run.gather(timeout=ENDS_WITHIN_S).outcomes
    assert (outcome.status, outcome.attempts) == ("cancelled", 0)


def test_of_rapid_view_switches_the_latest_wins(producer: Producer, latches: Callable[[str], Latch]) -> None:
    views = [latches(f"view {number}") for number in range(5)]
    runs = [producer.submit([view.call("GetHeldStep")] * 3, supersede="view:42") for view in views]
    views[-1].open()
    results = [run.gather(timeout=ENDS_WITHIN_S) for run in runs]
    assert [result.ok for result in results] == [False] * 4 + [True]
    errors = {outcome.error.type for result in results[:-1] for outcome in result.outcomes if outcome.error}
    assert errors == {"Superseded"}


def test_submitting_again_under_a_key_runs_nothing_twice(producer: Producer, journal: Journal) -> None:
    first = producer.submit([write(journal, "once")], idempotency_key="order 7")
    again = producer.submit([write(journal, "once")], idempotency_key="order 7")
    assert again.id == first.id
    assert again.gather(timeout=ENDS_WITHIN_S).ok
    assert producer.submit([write(journal, "once")], idempotency_key="order 7").gather(timeout=ENDS_WITHIN_S).ok
    assert list(journal.intervals()) == ["once"]
    with pytest.raises(KeyConflict, match=first.id):
        producer.submit([write(journal, "another")], idempotency_key="order 7")


def test_a_run_that_waits_longer_than_its_caller_wants_never_starts(
    producer: Producer, latch: Latch, journal: Journal
) -> None:
    holder = producer.submit([latch.call("WriteHeldStep")])
    latch.wait_until_begun()
    begun = time.monotonic()
    late = producer.submit([write(journal, "late")], queue_timeout=0.3)
    (outcome,) = late.gather(timeout=ENDS_WITHIN_S).outcomes
    assert (outcome.status, outcome.attempts) == ("timed_out", 0)
    assert outcome.error is not None
    assert outcome.error.type == "QueueTimeout"
    assert 0.3 <= time.monotonic() - begun < 2.0
    latch.open()
    assert holder.gather(timeout=ENDS_WITHIN_S).ok
    assert not journal.lines("began")


def test_reads_run_on_the_critical_workers_while_their_own_are_away(mortal_site: WorkerSite) -> None:
    workers = [mortal_site.worker(name) for name in ("parallel-1", "parallel-2")]
    for worker in workers:
        mortal_site.kill(worker, signal.SIGSTOP)
    try:
        run = mortal_site.producer.submit(["GetEchoStep"] * 3)
        result = run.gather(timeout=30)
    finally:
        for worker in workers:
            mortal_site.kill(worker, signal.SIGCONT)
    assert result.ok
    assert {str(outcome.worker).partition("@")[0] for outcome in result.outcomes} == {"critical"}
