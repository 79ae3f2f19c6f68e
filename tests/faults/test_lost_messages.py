"""Messages that are lost while others wait: found by probes, and a backlog alone is not taken for loss."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from producer import Run
from tests.support.backlog import Backlog, backlog_of
from tests.support.fault_sites import FaultSite
from tests.support.processes import wait_until
from tests.support.real_redis import RealSite, newest_server, real_site

STEPS = 100_000
HUNDREDTH = {"republish_s": 0.02, "heartbeat_s": 0.01}
"""Of what they are by default; not the lease, as a thread here may well stand still for 50 ms."""

FED = 30
"""Runs whose messages always wait."""

VICTIMS = 10
FOUND_WITHIN_S = 30.0
"""Long enough for a queue of a second or two, a second until it is looked at, and a machine with other things to do."""


@pytest.fixture
def real() -> Iterator[RealSite]:
    for url in newest_server():
        with real_site(url) as site:
            yield site


def test_a_backlog_of_a_hundred_thousand_steps_sends_one_message_in_a_hundred_twice_at_most(real: RealSite) -> None:
    """At a hundredth of the time, so that it lasts as for hours: each message is looked at again and again."""
    site = Backlog(real, ("critical-1", "parallel-1", "parallel-2"), **HUNDREDTH)
    with site.keeping():
        for run in backlog_of(STEPS):
            site.open(run)
        with site.working():
            site.wait_until_settled(300)
        assert site.sent() - site.asked <= site.asked * 0.01


@pytest.mark.parametrize("priority", ["normal", "high"])
@pytest.mark.parametrize("queue", ["critical", "parallel"])
def test_messages_lost_from_a_queue_that_never_runs_empty_are_found(
    new_site: Callable[..., FaultSite], queue: str, priority: str
) -> None:
    site = new_site(scale={"critical": 1, "parallel": 1})
    broker = RealSite(site.redis.url)

    def submit(**options: Any) -> Run:
        lane = f"lane {len(site.runs)}"
        return site.submit(
            [site.write(lane=lane, seconds=0.03)] if queue == "critical" else [site.read(seconds=1.0)], **options
        )

    def feed() -> int:
        """Submit what is missing; return how many messages there were."""
        depth = broker.publisher.depth(queue)
        assert depth is not None
        for _ in range(FED - depth):
            submit()
        return depth

    wait_until(lambda: feed() > FED / 2)
    victims = [submit(priority=priority) for _ in range(VICTIMS)]
    lost = [_lose(broker, queue, run) for run in victims]
    depths: list[int] = []
    wait_until(
        lambda: depths.append(feed()) or all(site.ledger.read(run.id).is_settled for run in victims), FOUND_WITHIN_S
    )
    broker.close()
    assert sum(lost) > 0
    assert min(depths) > 0
    assert all(result is not None and result.ok for result in site.gather_all())
    site.check(most_attempts=1)


def _lose(broker: RealSite, queue: str, run: Run) -> int:
    """Take the message of a run out of its queue, where it is still there."""
    lists = [broker.queue_key(queue, level) for level in (0, 1)]
    found = [(name, raw) for name in lists for raw in broker.client.lrange(name, 0, -1) if run.id.encode() in raw]
    return sum(int(broker.client.lrem(name, 1, raw)) for name, raw in found)
