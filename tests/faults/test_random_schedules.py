"""Faults at random moments under load; each schedule is drawn from a seed, which a failure names."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.support.fault_load import Load
from tests.support.fault_schedules import Blow, schedule_of, strike_all
from tests.support.fault_sites import FaultSite

LASTS_S = 20.0
EVERY_S = 1.0
SETTLES_WITHIN_S = 60.0
SIGNALS = 200
AGAIN_WITHIN_S = 10.0
"""Several faults may hold up one recovery."""

SEEDS = [int(seed) for seed in os.environ.get("FAULTS_SEED", "1,2,3").split(",")]


@pytest.mark.parametrize("seed", SEEDS)
def test_random_faults_under_load_break_no_promise(new_site: Callable[..., FaultSite], seed: int) -> None:
    site = new_site(scale={"critical": 2, "parallel": 2}, again_within_s=AGAIN_WITHIN_S)
    _under_load(site, schedule_of(seed, lasts_s=LASTS_S, every_s=EVERY_S), seed)
    assert len(site.runs) > LASTS_S


def test_two_hundred_stops_at_random_moments_break_no_promise(new_site: Callable[..., FaultSite]) -> None:
    site = new_site(scale={"critical": 2, "parallel": 2})
    schedule = schedule_of(SIGNALS, lasts_s=SIGNALS, every_s=0.25, blows=("stop",))[:SIGNALS]
    assert len(schedule) == SIGNALS
    _under_load(site, schedule, SIGNALS)
    worst = min(code for worker in site.workers.values() for code in worker.exits)
    assert worst >= -signal.SIGTERM  # Those that were hit before they could hear of it.


def test_a_schedule_replays_from_its_seed() -> None:
    schedule = schedule_of(7, lasts_s=30, every_s=1)
    assert schedule == schedule_of(7, lasts_s=30, every_s=1)
    assert schedule != schedule_of(8, lasts_s=30, every_s=1)
    assert all(0 <= blow.at_s < 30 for blow in schedule)


def _under_load(site: FaultSite, schedule: tuple[Blow, ...], seed: int) -> None:
    load = Load(site, seed, 0.1).start()
    began_s = time.monotonic()
    strike_all(site, schedule)
    unsettled = load.finish(SETTLES_WITHIN_S)
    said = f"seed {seed}: again with FAULTS_SEED={seed}; {time.monotonic() - began_s:.0f} s"
    assert not unsettled, f"{said}: these runs have not settled: {unsettled}"
    try:
        site.check(most_attempts=10)
    except AssertionError as error:
        raise AssertionError(f"{said}\n{error}") from None
