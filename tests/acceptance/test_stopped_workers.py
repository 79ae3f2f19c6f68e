"""Workers told to stop in the middle of a batch: nothing is lost, and nobody counts it as a death."""

import os
import signal
import time

import pytest

from producer.launcher.child import Child
from producer.launcher.sessions import is_alive
from tests.support.latches import Journal, Latch
from tests.support.processes import children_of, wait_until
from tests.support.worker_sites import WorkerSite
from workers.silent_children import CLAIMS_WITHIN_S

STOPPED_WITHIN_S = 5.0
"""The site's workers give back after 1.5 s what still runs; a worker that has nothing to do ends at once."""

PARCELS_PER_CHILD = 4
ZOMBIE_LIMIT = 3
"""As the settings of the fragile site say."""


def test_a_parallel_worker_that_stops_finishes_what_runs_and_leaves_the_rest_to_others(
    mortal_site: WorkerSite, latch: Latch
) -> None:
    site, producer = mortal_site, mortal_site.producer
    run = producer.submit([latch.call("GetHeldStep")] * 12, max_concurrency=4)
    begun = latch.wait_until_begun(4)
    victim = site.worker_of(begun[0]["pid"])
    stopped = victim.pid
    _stop(site, victim)
    latch.open()
    result = run.gather(timeout=20)
    assert result.ok
    assert [one.attempts for one in result.outcomes] == [1] * 12
    assert site.deaths(run.id) == 0
    wait_until(lambda: victim.exits and victim.pid not in (None, stopped), STOPPED_WITHIN_S)
    assert victim.exits[-1] == 0


def test_a_critical_worker_that_stops_finishes_its_step_and_leaves_the_next_to_others(
    mortal_site: WorkerSite, latch: Latch, journal: Journal
) -> None:
    site, producer = mortal_site, mortal_site.producer
    write = {"name": "WriteJournalStep", "params": {"journal": journal.path, "label": "next"}}
    run = producer.submit([latch.call("WriteHeldStep"), write, "GetEchoStep"])
    (begun,) = latch.wait_until_begun()
    victim = site.worker("critical-1")
    stopped = victim.pid
    _stop(site, victim)
    latch.open()
    result = run.gather(timeout=20)
    assert result.ok
    assert [one.attempts for one in result.outcomes] == [1, 1, 1]
    assert site.deaths(run.id) == 0
    assert journal.lines("began")[0]["pid"] != begun["pid"]
    wait_until(lambda: victim.pid not in (None, stopped), STOPPED_WITHIN_S)


@pytest.mark.parametrize("name", ["GetHeldStep", "WriteHeldStep"])
def test_a_worker_that_hears_a_hang_up_finishes_its_step_and_a_new_one_takes_its_place(
    mortal_site: WorkerSite, latch: Latch, name: str
) -> None:
    run = mortal_site.producer.submit([latch.call(name)])
    (begun,) = latch.wait_until_begun()
    victim = mortal_site.worker_of(begun["pid"])
    stopped, exits = victim.pid, len(victim.exits)
    _stop(mortal_site, victim, signal.SIGHUP)
    latch.open()
    (outcome,) = run.gather(timeout=20).outcomes
    assert (outcome.status, outcome.attempts) == ("succeeded", 1)
    wait_until(lambda: victim.pid not in (None, stopped), STOPPED_WITHIN_S)
    assert victim.exits[exits:] == (0,)


@pytest.mark.parametrize("name", ["GetHeldOnceStep", "WriteHeldOnceStep"])
def test_what_outlasts_the_grace_of_a_stopping_worker_is_given_back_and_no_death(
    mortal_site: WorkerSite, latch: Latch, journal: Journal, name: str
) -> None:
    site, producer = mortal_site, mortal_site.producer
    run = producer.submit([latch.call(name), "GetEchoStep", "WriteEchoStep"], order="overlap")
    (begun,) = latch.wait_until_begun()
    victim = site.worker_of(begun["pid"])
    exits = len(victim.exits)
    stopped_at_s = time.monotonic()
    site.kill(victim, signal.SIGTERM)
    (again,) = latch.wait_for("again")
    assert again["at_s"] - stopped_at_s < STOPPED_WITHIN_S
    result = run.gather(timeout=20)
    assert result.ok
    assert [one.attempts for one in result.outcomes] == [2, 1, 1]
    assert site.deaths(run.id) == 0
    wait_until(lambda: len(victim.exits) > exits)
    assert victim.exits[exits:] == (0,)


def test_children_are_replaced_after_their_share_of_parcels(mortal_site: WorkerSite, journal: Journal) -> None:
    labels = [str(number) for number in range(3 * PARCELS_PER_CHILD)]
    for label in labels:
        write = {"name": "WriteJournalStep", "params": {"journal": journal.path, "label": label, "seconds": 0}}
        (outcome,) = mortal_site.producer.run([write], timeout=20).outcomes
        assert (outcome.status, outcome.attempts) == ("succeeded", 1)
    pids = [line["pid"] for line in journal.lines("began")]
    assert list(journal.intervals()) == labels
    assert len(set(pids)) >= 3
    assert max(pids.count(pid) for pid in pids) <= PARCELS_PER_CHILD


def test_a_child_that_takes_a_parcel_and_claims_nothing_is_ended_and_nobody_is_blamed(mortal_site: WorkerSite) -> None:
    site = mortal_site
    (child,) = children_of(site.worker("critical-1").pid or 0)
    os.kill(child, signal.SIGSTOP)
    submitted_s = time.monotonic()
    run = site.producer.submit(["WriteEchoStep", "WriteEchoStep"])
    outcomes = run.gather(timeout=20).outcomes
    assert [(one.status, one.attempts) for one in outcomes] == [("succeeded", 1)] * 2
    assert CLAIMS_WITHIN_S < time.monotonic() - submitted_s < CLAIMS_WITHIN_S + STOPPED_WITHIN_S
    assert site.deaths(run.id) == 0
    assert not is_alive(child)


def test_a_worker_with_too_many_zombies_drains_and_is_started_again(mortal_site: WorkerSite, latch: Latch) -> None:
    site, producer = mortal_site, mortal_site.producer
    run = producer.submit([latch.call("GetDeafStep", timeout=0.1)] * ZOMBIE_LIMIT, max_concurrency=ZOMBIE_LIMIT)
    begun = latch.wait_until_begun(ZOMBIE_LIMIT)
    haunted = site.worker_of(begun[0]["pid"])
    assert {line["pid"] for line in begun} == {haunted.pid}
    exits = len(haunted.exits)
    result = run.gather(timeout=20)
    assert [(one.status, one.attempts) for one in result.outcomes] == [("timed_out", 1)] * ZOMBIE_LIMIT
    wait_until(lambda: len(haunted.exits) > exits)
    assert haunted.exits[exits:] == (0,)
    assert producer.run(["GetEchoStep"] * 10, timeout=20).ok
    assert not latch.lines("ended")


def _stop(site: WorkerSite, worker: Child, signum: signal.Signals = signal.SIGTERM) -> None:
    """Send a signal; return when the worker has understood."""
    seen = site.log().count("Warm shutdown")
    site.kill(worker, signum)
    wait_until(lambda: site.log().count("Warm shutdown") > seen)
