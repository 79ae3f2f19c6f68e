"""Processes that stand still and wake up later, steps that cannot be stopped, clocks that are wrong."""

import time
from collections.abc import Callable

import pytest

from tests.support.fault_bugs import CLOCK_AHEAD
from tests.support.fault_sites import AGAIN_WITHIN_S, LEASE_S, FaultSite
from tests.support.processes import ancestors_of, wait_until
from workers.processes import has_ended

FROZEN_S = 3 * LEASE_S

ENDS_WITHIN_S = 1.0
"""An attempt that overruns is settled so long after its time-out, and a little later where the machine is busy."""

BUSY_S = 0.5


def test_a_holder_that_is_frozen_for_three_leases_has_its_late_effect_refused(
    new_site: Callable[..., FaultSite],
) -> None:
    site = new_site(scale={"critical": 2, "parallel": 2})
    run = site.submit([site.write("held", latch=site.latch("freeze")), site.write("next")])
    reads = site.submit([site.read("read", latch=site.latch("freeze"))])
    site.wait_for("began", 2)
    frozen = [site.worker_of(line.pid) for line in site.wait_for("began", 2)]
    frozen_at_s = time.monotonic()
    for worker in frozen:
        site.freeze(worker)
    again = site.wait_for("began", 4)
    assert again[3].start_s - frozen_at_s < AGAIN_WITHIN_S
    wait_until(lambda: time.monotonic() > frozen_at_s + FROZEN_S)
    site.open_latch("freeze")
    for worker in frozen:
        site.freeze(worker, thaw=True)
    results = [site.gather(run), site.gather(reads)]
    assert all(result is not None and result.ok for result in results)
    site.wait_until_whole()  # Those that woke have learned that they were taken for dead.
    site.submit([site.write(), site.read()])
    assert all(result is not None and result.ok for result in site.gather_all())
    site.check()


def test_a_child_whose_parent_is_frozen_ends_before_its_step_begins_elsewhere(
    new_site: Callable[..., FaultSite],
) -> None:
    site = new_site(scale={"critical": 2, "parallel": 1})
    run = site.submit([site.write("held", latch=site.latch("child")), site.write("next")])
    (line,) = site.wait_for("began")
    frozen = site.worker_of(line.pid)
    site.freeze(frozen, with_children=False)
    frozen_at_s = time.monotonic()
    again = site.wait_for("began", 2)[1]
    assert has_ended(line.pid)
    assert again.start_s - frozen_at_s < AGAIN_WITHIN_S
    result = site.gather(run)
    assert result is not None
    assert [one.attempts for one in result.outcomes] == [2, 1]
    site.freeze(frozen, with_children=False, thaw=True)
    site.wait_until_whole()
    assert site.gather(site.submit([site.write()])) is not None
    site.check()  # No code overlapped, not even that of the frozen worker.


def test_a_child_whose_parent_wakes_in_time_has_its_step_given_back(new_site: Callable[..., FaultSite]) -> None:
    site = new_site(scale={"critical": 1, "parallel": 1})
    run = site.submit([site.write("held", latch=site.latch("child")), site.write("next")])
    (line,) = site.wait_for("began")
    worker = site.worker_of(line.pid)
    first = worker.pid
    site.freeze(worker, with_children=False)
    wait_until(lambda: has_ended(line.pid))
    site.freeze(worker, with_children=False, thaw=True)
    result = site.gather(run)
    assert result is not None
    assert [one.attempts for one in result.outcomes] == [2, 1]
    assert (site.deaths_counted(run), worker.pid) == (0, first)
    site.check()


def test_a_process_of_a_step_ends_before_its_step_begins_elsewhere_when_its_worker_is_frozen(
    new_site: Callable[..., FaultSite],
) -> None:
    site = new_site(scale={"critical": 1, "parallel": 2})
    run = site.submit([site.alone("alone", latch=site.latch("alone"))])
    (line,) = site.wait_for("began")
    frozen = next(one for one in site.workers.values() if one.pid in ancestors_of(line.pid))
    site.freeze(frozen, with_children=False)
    frozen_at_s = time.monotonic()
    again = site.wait_for("began", 2)[1]
    assert has_ended(line.pid)
    assert again.start_s - frozen_at_s < AGAIN_WITHIN_S
    result = site.gather(run)
    assert result is not None
    assert [(one.ok, one.attempts) for one in result.outcomes] == [(True, 2)]
    site.freeze(frozen, with_children=False, thaw=True)
    site.wait_until_whole()
    site.check()


def test_a_redis_that_is_paused_for_longer_than_a_lease_costs_no_running_step_its_attempt(
    new_site: Callable[..., FaultSite],
) -> None:
    site = new_site(scale={"critical": 2, "parallel": 2})
    latch = site.latch("paused")
    run = site.submit([site.write(latch=latch), site.alone(latch=latch), site.read(latch=latch)], order="overlap")
    site.wait_for("began", 3)
    site.redis.client.client_pause(round(2 * LEASE_S * 1000))
    paused_until_s = time.monotonic() + 2 * LEASE_S
    wait_until(lambda: time.monotonic() > paused_until_s)
    site.open_latch("paused")
    result = site.gather(run)
    assert result is not None
    assert [(one.ok, one.attempts) for one in result.outcomes] == [(True, 1)] * 3
    site.check()


@pytest.mark.parametrize("in_c", [False, True])
def test_a_step_that_no_signal_reaches_is_settled_a_second_after_its_time_out(
    new_site: Callable[..., FaultSite], in_c: bool
) -> None:
    site = new_site()
    params = {"folder": str(site.folder), "seconds": 8, "in_c": in_c}
    run = site.submit([{"name": "WriteDeafFaultStep", "params": params, "timeout": 0.5}])
    behind = site.submit([site.write()])
    (line,) = site.wait_for("began")
    result = site.gather(run)
    took_s = time.monotonic() - line.start_s
    assert result is not None
    assert (result.outcomes[0].status, result.outcomes[0].attempts) == ("timed_out", 1)
    assert took_s < 0.5 + ENDS_WITHIN_S + BUSY_S
    assert site.gather(behind) is not None
    site.check()


def test_a_worker_whose_clock_is_an_hour_ahead_times_nothing_out_and_overlaps_nothing(
    new_site: Callable[..., FaultSite],
) -> None:
    site = new_site(scale={"critical": 1, "parallel": 1}, plant=CLOCK_AHEAD)
    site.environment["FAULTS_PLANT"] = ""
    site.add_worker("critical", 2)
    site.add_worker("parallel", 2)
    site.wait_until_whole()
    for _ in range(20):
        site.submit([site.write(seconds=0.05), site.write(dies="self@during"), site.read(seconds=0.2)], deadline=30)
    assert all(result is not None and result.ok for result in site.gather_all())
    site.check()


def test_a_step_longer_than_every_time_out_of_the_broker_runs_once(new_site: Callable[..., FaultSite]) -> None:
    quick = {"STEPLINE_SOCKET_TIMEOUT_S": "2", "STEPLINE_CONNECT_TIMEOUT_S": "1"}
    site = new_site(scale={"critical": 2, "parallel": 2}, variables=quick)
    site.submit([site.write("long", seconds=10), site.read("long_too", seconds=10)], order="overlap")
    site.submit([site.write(), site.read()])
    results = site.gather_all()
    assert [one.attempts for result in results if result is not None for one in result.outcomes] == [1] * 4
    site.check(most_attempts=1)
