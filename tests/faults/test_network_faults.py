"""The network between workers and Redis: partitions, lost replies, a death between two commands, slow links."""

import time
from collections.abc import Callable, Iterator

import pytest

from producer import Producer
from producer.launcher.sessions import is_alive
from steps import SubmitUnknown
from steps.ledger.scripts import SCRIPTS
from tests.support.fault_proxy import FaultProxy
from tests.support.fault_sites import AGAIN_WITHIN_S, LEASE_S, FaultSite
from tests.support.processes import children_of, wait_until

PARTITION_S = 3 * LEASE_S
LOST_REPLIES = 5


@pytest.fixture
def proxied(new_site: Callable[..., FaultSite]) -> Iterator[tuple[FaultSite, FaultProxy]]:
    """A site whose first worker of each queue sees Redis through a proxy, and the second ones directly."""
    quick = {"STEPLINE_SOCKET_TIMEOUT_S": "1", "STEPLINE_CONNECT_TIMEOUT_S": "1"}
    site = new_site(scale={"critical": 0, "parallel": 0}, variables=quick)
    with FaultProxy(site.redis.port) as proxy:
        for queue in ("critical", "parallel"):
            site.add_worker(queue, 1, url=proxy.url)
        site.wait_until_whole()
        yield site, proxy


def _add_direct_workers(site: FaultSite) -> None:
    for queue in ("critical", "parallel"):
        site.add_worker(queue, 2)


@pytest.mark.parametrize("queue", ["critical", "parallel"])
def test_a_worker_that_dies_between_taking_a_message_and_its_claim_loses_nothing(
    proxied: tuple[FaultSite, FaultProxy], queue: str
) -> None:
    site, proxy = proxied
    proxy.rules.hold_after = lambda reply: b"stepline.parcel" in reply and queue.encode() in reply
    run = site.submit([site.write() if queue == "critical" else site.read()])
    assert proxy.held.wait(20)  # The message is out of the queue, and nowhere else.
    worker = site.workers[f"{queue}-1"]
    children = children_of(worker.pid or 0)
    site.kill(worker)
    wait_until(lambda: not any(map(is_alive, children)))  # What they say is held, and must not be heard any more.
    proxy.rules.hold_after = lambda reply: False
    proxy.is_holding = False
    result = site.gather(run)
    assert result is not None
    assert [one.attempts for one in result.outcomes] == [1]
    site.check(most_attempts=1)


@pytest.mark.parametrize("ways", ["both ways", "requests", "replies"])
def test_a_partition_of_three_leases_overlaps_no_effect_and_holds_nothing_up(
    proxied: tuple[FaultSite, FaultProxy], ways: str
) -> None:
    site, proxy = proxied
    latch = site.latch("cut off")
    run = site.submit([site.write("held", latch=latch), site.write("next")])
    reads = site.submit([site.read("read", latch=latch)])
    begun = site.wait_for("began", 2)
    _add_direct_workers(site)
    site.wait_until_whole()
    site.frozen |= {line.pid for line in begun}  # Cut off past their lease: their code may overlap, no effect may.
    cut_at_s = time.monotonic()
    proxy.rules.requests_flow = ways == "replies"
    proxy.rules.replies_flow = ways == "requests"
    again = site.wait_for("began", 4)
    assert again[3].start_s - cut_at_s < AGAIN_WITHIN_S + 1
    wait_until(lambda: time.monotonic() > cut_at_s + PARTITION_S)
    site.open_latch("cut off")
    proxy.rules.requests_flow = proxy.rules.replies_flow = True
    results = [site.gather(run), site.gather(reads)]
    assert all(result is not None and result.ok for result in results)
    site.wait_until_whole()
    site.submit([site.write(), site.read()])
    assert all(result is not None and result.ok for result in site.gather_all())
    site.check()


@pytest.mark.parametrize("verb", ["claim", "settle_and_claim_next", "tick"])
def test_a_script_that_was_done_and_whose_reply_was_lost_doubles_no_outcome(
    proxied: tuple[FaultSite, FaultProxy], verb: str
) -> None:
    site, proxy = proxied
    _lose_replies(proxy, SCRIPTS[verb].digest.encode())
    for _ in range(10):
        site.submit([site.write(), site.write(), *[site.read(seconds=0.02)] * 4])
    assert all(result is not None and result.ok for result in site.gather_all())
    wait_until(lambda: proxy.swallowed >= LOST_REPLIES)
    site.check()


@pytest.mark.parametrize("what", ["open", "push"])
def test_a_submit_that_was_done_and_whose_reply_was_lost_doubles_nothing(
    proxied: tuple[FaultSite, FaultProxy], what: str
) -> None:
    site, proxy = proxied
    with Producer(site.settings, proxy.url) as producer:
        assert producer.run([site.write(), site.read()], timeout=20).ok
        _lose_replies(proxy, SCRIPTS["open"].digest.encode() if what == "open" else b"LPUSH")
        for _ in range(10):
            try:
                site.runs.append(producer.submit([site.write(), site.read()]))
            except SubmitUnknown as error:
                site.runs.append(site.producer.attach(error.run_id))
        assert all(result is not None and result.ok for result in site.gather_all())
    assert proxy.swallowed >= LOST_REPLIES
    site.check(most_attempts=1)


def test_a_slow_link_slows_down_and_breaks_nothing(proxied: tuple[FaultSite, FaultProxy]) -> None:
    site, proxy = proxied
    proxy.rules.delay_s, proxy.rules.bytes_a_s = 0.05, 10_000
    for _ in range(3):
        site.submit([site.write(), site.read(), site.read()])
    struck = site.submit([site.write(dies="self@during"), site.read()])
    assert all(result is not None and result.ok for result in site.gather_all())
    assert struck.gather().outcomes[0].attempts == 2
    site.check()


def _lose_replies(proxy: FaultProxy, command: bytes) -> None:
    left = [LOST_REPLIES]

    def is_to_be_lost(request: bytes) -> bool:
        if command not in request or not left[0]:
            return False
        left[0] -= 1
        return True

    proxy.rules.swallow = is_to_be_lost
