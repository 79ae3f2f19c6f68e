"""Runs that are paused and resumed under load, and a site that dies while they are paused."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from producer import Run
from tests.support.fault_sites import GATHER_S, LEASE_S, FaultSite

PAUSES = 1_000
OPEN_AT_ONCE = 12
LANES = ("", "", "east", "west")
"""Half of the critical steps are in the site's one lane."""

LONGEST_PAUSE_S = 0.05


def test_runs_paused_and_resumed_a_thousand_times_keep_the_order_of_their_lanes(
    new_site: Callable[..., FaultSite],
) -> None:
    site = new_site(scale={"critical": 2, "parallel": 1})
    rng = random.Random(32)
    paused = 0
    with ThreadPoolExecutor(OPEN_AT_ONCE) as threads:
        while paused < PAUSES:
            runs = [site.submit(_steps(site, rng)) for _ in range(OPEN_AT_ONCE)]
            list(threads.map(_pause_until_settled, [(run, rng.random()) for run in runs]))
            paused += sum(_count(site, run, "run.paused") for run in runs)
    assert all(result is not None and result.ok for result in site.gather_all())
    assert sum(len(run.places) for run in site.evidence().runs) > PAUSES // 10
    site.check(most_attempts=1)


def test_a_paused_run_stays_paused_when_a_worker_and_redis_die_and_holds_up_nobody(
    new_site: Callable[..., FaultSite],
) -> None:
    site = new_site(scale={"critical": 2, "parallel": 1}, again_within_s=GATHER_S)  # Not before it is resumed.
    latch = site.latch("paused")
    paused = [
        site.submit([site.write(latch=latch), site.write(), site.read(), site.read()]),
        site.submit([site.read(latch=latch), *[site.read() for _ in range(3)]], max_concurrency=1),
    ]
    begun = site.wait_for("began", 2)
    for run in paused:
        run.pause()
    for line in begun:
        site.kill(site.worker_of(line.pid))
    _another_run_succeeds(site)
    site.redis.restart()
    _another_run_succeeds(site)
    site.wait_until_whole()
    time.sleep(LEASE_S)  # What is not to come cannot be waited for.
    assert [line for line in site.wait_for("began") if line.run in {run.id for run in paused}] == begun
    assert [run.status().state for run in paused] == ["paused", "paused"]
    for run in paused:
        run.resume()
    results = [site.gather(run) for run in paused]
    assert all(result is not None and result.ok for result in results)
    assert [[one.attempts for one in result.outcomes] for result in results if result is not None] == [[2, 1, 1, 1]] * 2
    site.check()


def _steps(site: FaultSite, rng: random.Random) -> list[dict[str, object]]:
    steps = [site.write(lane=rng.choice(LANES), seconds=0.01) for _ in range(rng.randint(6, 12))]
    return [*steps, *[site.read(seconds=0.01) for _ in range(rng.randint(0, 4))]]


def _pause_until_settled(what: tuple[Run, float]) -> None:
    run, seed = what
    rng = random.Random(seed)
    while run.status().state != "completed":
        run.pause()
        time.sleep(rng.uniform(0, LONGEST_PAUSE_S))
        run.resume()
        time.sleep(rng.uniform(0, LONGEST_PAUSE_S))


def _another_run_succeeds(site: FaultSite) -> None:
    """In the same lane."""
    result = site.gather(site.submit([site.write(), site.read()]))
    assert result is not None
    assert result.ok


def _count(site: FaultSite, run: Run, event: str) -> int:
    return [one["event"] for one in site.events(run.id)].count(event)
