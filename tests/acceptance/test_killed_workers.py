"""Workers killed in the middle of a batch: it settles, every step has one outcome, and no lane is overrun."""

import os
import signal
import time
from collections.abc import Callable

from producer import Producer, Result, Run
from producer.launcher.sessions import is_alive
from tests.support.latches import Journal, Latch
from tests.support.processes import children_of, wait_until
from tests.support.worker_sites import WorkerSite

AGAIN_WITHIN_S = 10.0
"""After the death of a worker, its steps run again within this time."""

AGAIN_AFTER_CHILD_S = 1.0
"""The same after the death of a worker's child."""


def test_a_parallel_worker_killed_mid_batch_loses_nothing(mortal_site: WorkerSite, latch: Latch) -> None:
    site, producer = mortal_site, mortal_site.producer
    held = [latch.call("GetHeldOnceStep", id=f"held_{number}") for number in range(8)]
    run = producer.submit([*held, "GetEchoStep", "GetFailureStep"], max_concurrency=10)
    begun = latch.wait_until_begun(8)
    _wait_for_outcomes(run, 2)
    victim = site.worker_of(begun[0]["pid"])
    struck = {line["step"] for line in begun if line["pid"] == victim.pid}
    killed_at_s = time.monotonic()
    site.kill(victim)
    again = latch.wait_for("again", len(struck))
    assert again[-1]["at_s"] - killed_at_s < AGAIN_WITHIN_S
    latch.open()  # For those that ran on the other worker, if there were any.
    result = _gather_once(site, run)
    assert [one.status for one in result.outcomes] == ["succeeded"] * 9 + ["failed"]
    assert [one.attempts for one in result.outcomes] == [2 if one.id in struck else 1 for one in result.outcomes]
    assert site.deaths(run.id) == 0, "of those who ran beside others, nobody knows who was to blame"


def test_a_critical_worker_killed_mid_batch_loses_nothing(
    mortal_site: WorkerSite, latch: Latch, journal: Journal
) -> None:
    site, producer = mortal_site, mortal_site.producer
    run = producer.submit(
        [
            {"name": "WriteEchoStep", "id": "before"},
            latch.call("WriteHeldOnceStep"),
            {"name": "WriteEchoStep", "id": "after"},
            "GetEchoStep",
        ]
    )
    (begun,) = latch.wait_until_begun()
    behind = producer.submit([_write(journal)])
    victim = site.worker("critical-1")
    assert victim.pid is not None
    children = children_of(victim.pid)
    assert begun["pid"] in children
    killed_at_s = time.monotonic()
    site.kill(victim)
    (again,) = latch.wait_for("again")
    assert again["at_s"] - killed_at_s < AGAIN_WITHIN_S
    assert not [pid for pid in children if is_alive(pid)]
    result = _gather_once(site, run)
    assert result.ok
    assert [one.attempts for one in result.outcomes] == [1, 2, 1, 1]
    assert behind.gather(timeout=20).ok
    assert again["at_s"] <= journal.intervals()["behind"][0]


def test_a_child_killed_alone_has_its_step_run_again_at_once(
    mortal_site: WorkerSite, latch: Latch, journal: Journal
) -> None:
    site, producer = mortal_site, mortal_site.producer
    parent = site.worker("critical-1").pid
    run = producer.submit([latch.call("WriteHeldOnceStep"), "WriteEchoStep", "GetEchoStep"])
    (begun,) = latch.wait_until_begun()
    behind = producer.submit([_write(journal)])
    killed_at_s = time.monotonic()
    os.kill(begun["pid"], signal.SIGKILL)
    (again,) = latch.wait_for("again")
    assert again["at_s"] - killed_at_s < AGAIN_AFTER_CHILD_S
    assert again["pid"] != begun["pid"]
    result = _gather_once(site, run)
    assert result.ok
    assert [one.attempts for one in result.outcomes] == [2, 1, 1]
    assert behind.gather(timeout=20).ok
    assert again["at_s"] <= journal.intervals()["behind"][0]
    assert site.worker("critical-1").pid == parent


def test_a_step_that_kills_its_process_every_time_is_lost_after_three_deaths(
    mortal_site: WorkerSite, latch: Latch
) -> None:
    producer = mortal_site.producer
    steps = [latch.call("WriteSuicideStep"), {"name": "WriteEchoStep", "id": "after"}, "GetEchoStep"]
    run = producer.submit(steps)
    result = _gather_once(mortal_site, run)
    assert [one.status for one in result.outcomes] == ["lost", "skipped", "succeeded"]
    lost = result["WriteSuicideStep"]
    assert lost.error is not None
    assert (lost.attempts, lost.error.type) == (3, "WorkerLost")
    assert len(latch.lines("began")) == 3
    assert producer.run(["WriteEchoStep"], timeout=20).ok


def test_all_workers_killed_at_once_lose_nothing(mortal_site: WorkerSite, latch: Latch) -> None:
    site, producer = mortal_site, mortal_site.producer
    run = producer.submit(
        [latch.call("WriteHeldOnceStep"), *[latch.call("GetHeldOnceStep")] * 3, "GetEchoStep"], order="overlap"
    )
    latch.wait_until_begun(4)
    waiting = producer.submit(["WriteEchoStep", "GetEchoStep"])
    for name in ("critical-1", "parallel-1", "parallel-2"):
        site.kill(site.worker(name))
    result = _gather_once(site, run)
    assert result.ok
    assert [one.attempts for one in result.outcomes] == [2, 2, 2, 2, 1]
    assert _gather_once(site, waiting).ok


def test_a_worker_frozen_past_its_lease_settles_nothing_when_it_wakes(
    mortal_site: WorkerSite, latches: Callable[[str], Latch]
) -> None:
    site, producer = mortal_site, mortal_site.producer
    first, second = latches("attempt-1"), latches("attempt-2")
    run = producer.submit([{"name": "GetHeldEachTimeStep", "params": {"latch": first.path.removesuffix("-1")}}])
    (begun,) = first.wait_until_begun()
    frozen = site.worker_of(begun["pid"])
    exits = len(frozen.exits)
    site.kill(frozen, signal.SIGSTOP)
    try:
        second.wait_until_begun()
        first.open()  # When it wakes, the first attempt returns at once.
    finally:
        site.kill(frozen, signal.SIGCONT)
    wait_until(lambda: len(frozen.exits) > exits)  # It learns that it was taken for dead, and comes back as another.
    assert not site.is_settled(run.id)
    second.open()
    (outcome,) = _gather_once(site, run).outcomes
    assert (outcome.status, outcome.value, outcome.attempts) == ("succeeded", 2, 2)


def _write(journal: Journal) -> dict[str, object]:
    return {"name": "WriteJournalStep", "params": {"journal": journal.path, "label": "behind"}}


def _wait_for_outcomes(run: Run, count: int) -> None:
    outcomes = run.outcomes()
    for _ in range(count):
        next(outcomes)


def _gather_once(site: WorkerSite, run: Run) -> Result:
    """Gather a run; check that every step has settled once and that nothing of it is left anywhere."""
    result = run.gather(timeout=30)
    settled = [event["step"] for event in site.events(run.id) if event.get("status")]
    assert sorted(settled, key=int) == [str(number) for number in range(run.total_steps)]
    assert Producer.attach(site.producer, run.id).gather(timeout=20) == result
    wait_until(lambda: not site.claims())
    return result
