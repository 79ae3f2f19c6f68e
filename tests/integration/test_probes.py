"""Lost or late, on a real Redis under a backlog: what is lost is found, and little else is sent again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest

from tests.support.backlog import NORMAL_RUN, URGENT_RUN, Backlog, backlog_of, run_on
from tests.support.processes import wait_until
from tests.support.real_redis import RealSite

STEPS = 10_000
LOST = 50
FED = 30
"""Messages that always wait where a queue never runs empty."""


def test_of_a_backlog_what_is_lost_is_sent_again_and_little_else(real: RealSite) -> None:
    """A twentieth is lost. There are ten times as many messages in the tests of faults, and 1 % is the limit there."""
    site = Backlog(real, ("critical-1", "parallel-1", "parallel-2"))
    with site.keeping():
        for run in backlog_of(STEPS):
            site.open(run)
        site.lose(Random(1).sample([one for one in site.messages() if b"probe." not in one[1]], LOST))
        with site.working():
            site.wait_until_settled()
        extra = site.sent() - site.asked
    assert LOST <= extra <= LOST + site.asked * 0.02


@contextmanager
def never_empty(site: Backlog, queue: str) -> Iterator[list[int]]:
    """Feed a queue for the block, so that it always has so many messages; yields how many there were."""
    depths: list[int] = []
    is_over = threading.Event()

    def feed() -> None:
        for number in range(1_000_000):
            depths.append(site.depth(queue))
            for one in range(FED - depths[-1]):
                site.open(run_on(queue, f"fed{number}-{one}"))
            if is_over.wait(0.001):
                return

    feeder = threading.Thread(target=feed)
    site.open(run_on(queue, "first"))
    feeder.start()
    try:
        wait_until(lambda: site.depth(queue) >= FED)
        yield depths
    finally:
        is_over.set()
        feeder.join()


@pytest.mark.parametrize("priority", [NORMAL_RUN, URGENT_RUN], ids=["normal", "urgent"])
@pytest.mark.parametrize("queue", ["critical", "parallel"])
def test_a_lost_message_is_found_though_its_queue_never_runs_empty(real: RealSite, queue: str, priority: int) -> None:
    site = Backlog(real, (f"{queue}-1",))
    with site.keeping(), never_empty(site, queue) as depths:
        site.open(run_on(queue, "victim", priority=priority))
        site.lose([one for one in site.messages() if b"victim" in one[1]])
        with site.working():
            del depths[:]
            wait_until(lambda: site.ledger.read("victim").is_settled)
    assert min(depths) > 0
