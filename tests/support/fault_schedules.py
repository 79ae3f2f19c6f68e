"""Random faults that replay from their seed: what is struck and when is drawn before anything starts."""

import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event

import redis

from tests.support.fault_sites import FaultSite

KILLS = ("worker", "child", "redis")
"""What `make soak` does."""

ALL_BLOWS = (*KILLS, "stop", "freeze", "cut")

FROZEN_S = 1.0
"""Under a lease: longer, and code of a lane may overlap that nobody can stop."""


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault.

    Args:
        at_s: When, from the start.
        what: One of `ALL_BLOWS`.
        pick: Which of those that are there: their number modulo the count.
    """

    at_s: float
    what: str
    pick: int


def schedule_of(seed: int, *, lasts_s: float, every_s: float, blows: Sequence[str] = ALL_BLOWS) -> tuple[Blow, ...]:
    """Return the faults of a seed, ``every_s`` apart on average; the same ones every time."""
    rng, found, at_s = random.Random(seed), [], 0.0
    while (at_s := at_s + rng.expovariate(1 / every_s)) < lasts_s:
        found.append(Blow(round(at_s, 3), rng.choice(blows), rng.randrange(1_000)))
    return tuple(found)


def strike_all(site: FaultSite, schedule: Sequence[Blow], *, is_over: Event | None = None) -> None:
    """Strike one after another, each at its time."""
    over, began_s = is_over or Event(), time.monotonic()
    for blow in schedule:
        if over.wait(max(0.0, began_s + blow.at_s - time.monotonic())):
            return
        STRIKES[blow.what](site, blow.pick)


def _kill_worker(site: FaultSite, pick: int) -> None:
    workers = list(site.workers.values())
    site.kill(workers[pick % len(workers)])


def _kill_child(site: FaultSite, pick: int) -> None:
    workers = [worker for name, worker in site.workers.items() if name.startswith("critical")]
    site.kill_child(workers[pick % len(workers)])


def _restart_redis(site: FaultSite, pick: int) -> None:
    site.redis.restart((signal.SIGKILL, signal.SIGTERM)[pick % 2])


def _stop_worker(site: FaultSite, pick: int) -> None:
    workers = list(site.workers.values())
    site.stop(workers[pick % len(workers)])


def _freeze_worker(site: FaultSite, pick: int) -> None:
    workers = [worker for worker in site.workers.values() if worker.pid]
    if workers:
        worker = workers[pick % len(workers)]
        with suppress(AssertionError):  # It has ended meanwhile.
            site.freeze(worker)
            time.sleep(FROZEN_S)
            site.freeze(worker, thaw=True)


def _cut_connections(site: FaultSite, pick: int) -> None:
    with suppress(redis.RedisError):
        site.redis.client.client_kill_filter(_type="normal", skipme=bool(pick % 2))


STRIKES: dict[str, Callable[[FaultSite, int], None]] = {
    "worker": _kill_worker,
    "child": _kill_child,
    "redis": _restart_redis,
    "stop": _stop_worker,
    "freeze": _freeze_worker,
    "cut": _cut_connections,
}
