"""Processes that die at a chosen point of a step: children, workers, a whole site, with or without a signal."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from producer import Producer, Result, Run
from producer.launcher.sessions import is_alive
from tests.support.fault_journal import read_journal
from tests.support.fault_sites import CHILD_AGAIN_WITHIN_S, FaultSite
from tests.support.processes import children_of, wait_until

POINTS = ("before", "during", "after")
MOST_FOLLOWERS = 100
MAX_DEATHS = 3
POISONS = MAX_DEATHS + 1
"""So many deaths would make every neighbour lost, if they were counted."""


@pytest.mark.parametrize("point", POINTS)
def test_a_child_killed_at_any_point_of_an_effect_has_it_once(site: FaultSite, point: str) -> None:
    struck = site.submit([site.write(), site.write(dies=f"self@{point}"), site.write(), site.read()])
    behind = site.submit([site.write(), site.read()])
    assert _attempts(site.gather(struck)) == [1, 2, 1, 1]
    assert _attempts(site.gather(behind)) == [1, 1]


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_killed_with_its_children_at_any_point_has_the_effect_once(site: FaultSite, point: str) -> None:
    struck = site.submit([site.write(), site.write(dies=f"parent@{point}"), site.write(), site.read()])
    behind = site.submit([site.write(), site.read()])
    assert _attempts(site.gather(struck)) == [1, 2, 1, 1]
    assert _attempts(site.gather(behind)) == [1, 1]


@pytest.mark.parametrize("point", POINTS)
def test_a_threads_worker_killed_at_any_point_has_the_effect_once(site: FaultSite, point: str) -> None:
    run = site.submit([site.read("struck", dies=f"self@{point}"), *[site.read(seconds=0.1)] * 6])
    result = site.gather(run)
    assert result is not None
    assert result.ok
    assert result["struck"].attempts == 2


@pytest.mark.parametrize("how", ["exit", "segfault"])
def test_a_child_that_ends_without_a_signal_from_outside_loses_nothing(site: FaultSite, how: str) -> None:
    run = site.submit([site.write("struck", dies=f"{how}@before"), site.write(), site.read()])
    result = site.gather(run)
    assert result is not None
    assert result.ok
    assert result["struck"].attempts == 2


def test_a_child_without_memory_settles_its_step_or_dies_and_takes_no_other_with_it(site: FaultSite) -> None:
    run = site.submit([site.write("struck", dies="memory@before"), site.write("next"), site.read("other")])
    behind = [site.submit([site.write(), site.read()]) for _ in range(10)]
    result = site.gather(run)
    assert result is not None
    struck = result["struck"]
    if struck.ok:
        assert struck.attempts == 2
    else:
        assert struck.error is not None
        assert (struck.status, struck.error.type, struck.attempts) == ("failed", "MemoryError", 1)
    assert all(_attempts(site.gather(one)) == [1, 1] for one in behind)


def test_a_step_behind_which_a_hundred_wait_keeps_its_place_when_its_worker_dies(site: FaultSite) -> None:
    latch = site.latch("hundred")
    head = site.submit([site.write(latch=latch, dies="parent@before"), site.write()])
    site.wait_for("began", step=head._meta.steps[0].id)
    runs = [site.submit([site.write()]) for _ in range(MOST_FOLLOWERS)]
    site.open_latch("hundred")
    assert all(result is not None and result.ok for result in map(site.gather, (head, *runs)))


def test_a_step_that_kills_its_worker_every_time_is_lost_after_three_deaths_and_others_run(site: FaultSite) -> None:
    run = site.submit([site.write("poison", dies="parent@before!"), site.write("next"), site.read("other")])
    behind = site.submit([site.write(), site.read()])
    result = site.gather(run)
    assert result is not None
    assert [(one.status, one.attempts) for one in result.outcomes] == [
        ("lost", 3),
        ("skipped", 0),
        ("succeeded", 1),
    ]
    assert _attempts(site.gather(behind)) == [1, 1]


def test_neighbours_of_steps_that_kill_their_worker_are_never_blamed(new_site: Callable[..., FaultSite]) -> None:
    site = new_site(scale={"critical": 1, "parallel": 1})
    neighbours = [site.submit([site.read(seconds=4)] * 2) for _ in range(3)]
    steps = sum(len(run._meta.steps) for run in neighbours)
    for times in range(1, POISONS + 1):
        _wait_until_all_began(site, neighbours, times)
        poisoned = site.submit([site.read("poison", dies="self@before!")])
        result = site.gather(poisoned)
        assert result is not None
        assert [(one.status, one.attempts) for one in result.outcomes] == [("lost", 1 + MAX_DEATHS)]
        assert site.deaths_of(poisoned, 0) == MAX_DEATHS
    results = [site.gather(run) for run in neighbours]
    assert [one.status for result in results if result is not None for one in result.outcomes] == ["succeeded"] * steps
    assert {one.attempts for result in results if result is not None for one in result.outcomes} == {POISONS + 1}
    assert {site.deaths_of(run, index) for run in neighbours for index in range(2)} == {0}
    site.check(most_attempts=POISONS + 1)


@pytest.mark.parametrize("point", POINTS)
def test_a_completion_body_whose_worker_dies_has_its_effect_once(site: FaultSite, point: str) -> None:
    body = {"name": "GetSumOfOutcomesStep", "params": {"folder": str(site.folder), "dies": f"self@{point}"}}
    run = site.submit([site.write(), site.read()], then=body)
    assert _attempts(site.gather(run)) == [1, 1]
    site.wait_until_closed(run)
    effects = [effect for effect in site.evidence().effects if effect.key == run.id]
    assert len(effects) == 1


def test_a_whole_site_killed_at_once_goes_on_after_a_cold_start(new_site: Callable[..., FaultSite]) -> None:
    site = new_site(scale={"critical": 2, "parallel": 1})
    first = site.submit([site.write(latch=site.latch("cold")), site.write(), site.read()])
    site.submit([site.read(latch=site.latch("cold")), site.write()], order="overlap")
    runs = [site.submit([site.write(), site.read()]) for _ in range(10)]
    site.wait_for("began", 2)
    for worker in site.workers.values():
        site.kill(worker)
    site.redis.kill()
    site.open_latch("cold")
    site.redis.start()
    with Producer(site.settings, site.redis.url) as other:  # Somebody who was not there before.
        assert all(other.attach(run.id).gather(timeout=60).ok for run in (first, *runs))
    assert all(result is not None and result.ok for result in site.gather_all())
    site.check()


def test_a_worker_told_twice_to_stop_or_interrupted_loses_nothing_and_keeps_the_order(
    new_site: Callable[..., FaultSite],
) -> None:
    site = new_site(scale={"critical": 2, "parallel": 1})
    for number, signals in enumerate(((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT,))):
        latch = site.latch(f"stop-{number}")
        run = site.submit([site.write(latch=latch), site.write(), site.read(latch=latch), site.read()], order="overlap")
        begun = site.wait_for("began", 2 + 4 * number)
        for pid in {line.pid for line in begun[-2:]}:
            worker = site.worker_of(pid)
            for signum in signals:
                site.stop(worker, signum)
        site.submit([site.write(), site.read()])
        site.open_latch(f"stop-{number}")
        assert max(_attempts(site.gather(run))) <= 2
        site.wait_until_whole()
    assert all(result is not None and result.ok for result in site.gather_all())
    assert not any(children_of(worker.pid or 0) == [] for name, worker in site.workers.items() if "critical" in name)
    site.check()


def test_a_threads_worker_that_quits_at_once_loses_nothing(new_site: Callable[..., FaultSite]) -> None:
    site = new_site(scale={"critical": 0, "parallel": 2})
    run = site.submit([site.read(seconds=0.5)] * 6)
    begun = site.wait_for("began", 6)
    site.stop(site.worker_of(begun[0].pid), signal.SIGQUIT)
    assert max(_attempts(site.gather(run))) <= 2
    site.wait_until_whole()
    site.check()


@pytest.mark.parametrize("signals", [(signal.SIGQUIT,), (signal.SIGINT, signal.SIGINT)], ids=["quit", "interrupt"])
def test_a_prefork_worker_told_to_end_at_once_gives_its_step_back(
    new_site: Callable[..., FaultSite], signals: tuple[signal.Signals, ...]
) -> None:
    site = new_site(scale={"critical": 2, "parallel": 1}, variables={"STEPLINE_SHUTDOWN_S": "30"})
    run = site.submit([site.write("held", latch=site.latch("quit")), site.write("next")])
    behind = site.submit([site.write()])
    (line,) = site.wait_for("began")
    worker = site.worker_of(line.pid)
    told_at_s = time.monotonic()
    for signum in signals:
        site.stop(worker, signum)
        time.sleep(0.1)  # Two of a kind that wait to be heard would be one.
    again = site.wait_for("began", 2)[1]
    assert (again.step, again.attempt) == ("held", 2)
    assert again.start_s - told_at_s < CHILD_AGAIN_WITHIN_S
    assert _attempts(site.gather(run)) == [2, 1]
    assert _attempts(site.gather(behind)) == [1]
    assert site.deaths_counted(run) == 0
    site.wait_until_whole()
    site.check()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_child_alone_that_is_told_to_end_finishes_its_step(site: FaultSite, signum: signal.Signals) -> None:
    latch = site.latch(f"alone-{signum}")
    run = site.submit([site.write(f"held_{signum}", latch=latch), site.write("next")])
    (line,) = site.wait_for("began", step=f"held_{signum}")
    os.kill(line.pid, signum)
    site.wait_for("pulse", len(site.wait_for("pulse")) + 5)  # It goes on,
    site.open_latch(f"alone-{signum}")
    assert _attempts(site.gather(run)) == [1, 1]
    assert site.deaths_counted(run) == 0
    if signum is not signal.SIGINT:
        wait_until(lambda: not is_alive(line.pid))  # and then it ends, and another is there in its place.
    assert _attempts(site.gather(site.submit([site.write()]))) == [1]


def test_a_child_alone_that_is_told_to_end_at_once_has_its_step_run_again_within_a_second(site: FaultSite) -> None:
    run = site.submit([site.write("quits", latch=site.latch("child-quit")), site.write("next")])
    (line,) = site.wait_for("began", step="quits")
    told_at_s = time.monotonic()
    os.kill(line.pid, signal.SIGQUIT)
    assert site.wait_for("began", 2, step="quits")[1].start_s - told_at_s < CHILD_AGAIN_WITHIN_S
    assert _attempts(site.gather(run)) == [2, 1]
    assert site.deaths_counted(run) == 0


def _wait_until_all_began(site: FaultSite, runs: list[Run], attempt: int) -> None:
    wanted = {(run.id, step.id) for run in runs for step in run._meta.steps}

    def have_begun() -> bool:
        lines = read_journal(site.folder)
        return wanted <= {(line.run, line.step) for line in lines if (line.what, line.attempt) == ("began", attempt)}

    wait_until(have_begun, 30)


def _attempts(result: Result | None) -> list[int]:
    assert result is not None
    assert result.ok, [(one.id, one.status, one.error) for one in result.outcomes]
    return [one.attempts for one in result.outcomes]
