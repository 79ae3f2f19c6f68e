"""Redis restarted, killed, wiped, cut back, frozen, full, refusing; its connections cut."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis

from producer import Producer, Run
from steps import BrokerUnavailable, RunLost, RunUnknown, SteplineError, StoreFull, UnfitRedis
from steps.errors import NoAnswer
from tests.support.fault_redis import FaultRedis
from tests.support.fault_sites import LEASE_S, FaultSite
from tests.support.processes import wait_until

CLEAR_ERROR_S = 5.0
BUSY_S = 1.0
"""On top of a limit, for a machine that has other things to do."""

LOST_WITHIN_S = 2.0
CUT_EVERY_S = 0.2
CUT_FOR_S = 60.0
FROZEN_S = 5.0


def _batch(site: FaultSite) -> Run:
    return site.submit([site.write(seconds=0.02), site.write(), site.read(seconds=0.05), site.read()])


def _all_ok(site: FaultSite) -> bool:
    return all(result is not None and result.ok for result in site.gather_all())


@pytest.mark.parametrize("how", ["TERM", "KILL"])
def test_redis_that_comes_back_with_its_files_mid_batch_has_lost_nothing(
    new_site: Callable[..., FaultSite], how: str
) -> None:
    site = new_site(scale={"critical": 2, "parallel": 1})
    for _ in range(5):
        runs = [_batch(site) for _ in range(10)]
        wait_until(lambda: site.evidence().lines)
        site.gather(runs[1])
        site.redis.restart(_signal(how))
        assert site.gather(runs[-1]) is not None
    assert _all_ok(site)
    site.wait_until_whole()
    assert not [worker.name for worker in site.workers.values() if worker.exits], site.log()
    site.check()


def test_redis_killed_with_everysec_loses_a_second_at_most_and_says_so(
    new_site: Callable[..., FaultSite], tmp_path: Path
) -> None:
    site = new_site(redis=FaultRedis(tmp_path / "redis", fsync="everysec"))
    old = [_batch(site) for _ in range(10)]
    assert _all_ok(site)
    time.sleep(1.5)  # The server writes once a second: what is older must be there.
    fresh = [_batch(site) for _ in range(10)]
    site.redis.restart()
    for run in fresh:
        with suppress(RunLost, RunUnknown):  # Said, where it is gone, and never taken for a success.
            assert run.gather(timeout=30).ok
    for run in old:
        assert Producer.attach(site.producer, run.id).gather(timeout=10).ok
    site.runs = old
    site.check()
    assert site.producer.run([site.write(), site.read()], timeout=20).ok


def test_redis_that_comes_back_empty_is_noticed_and_no_success_is_told(new_site: Callable[..., FaultSite]) -> None:
    site = new_site()
    latch = site.latch("empty")
    waiting = [site.submit([site.write(latch=latch), site.write(), site.read()]), *[_batch(site) for _ in range(5)]]
    site.wait_for("began")
    with ThreadPoolExecutor() as threads:
        gathering = [threads.submit(run.gather, 30) for run in waiting]
        site.redis.kill()
        site.redis.wipe()
        site.redis.start()
        began_s = time.monotonic()
        for run in gathering:
            with pytest.raises(RunLost):
                run.result(30)
    assert time.monotonic() - began_s < LOST_WITHIN_S + BUSY_S
    site.open_latch("empty")
    with pytest.raises(RunUnknown):
        site.producer.attach(waiting[0].id)
    with pytest.raises(RunLost):
        list(waiting[0].outcomes())
    site.runs.clear()
    _works_again(site)
    assert site.ledger.site.rollbacks()[0] == 1


def test_redis_that_lost_the_tail_of_its_file_tells_no_success_that_it_does_not_have(
    new_site: Callable[..., FaultSite],
) -> None:
    site = new_site()
    latch = site.latch("tail")
    early = site.submit([site.write(latch=latch), site.read()])
    site.wait_for("pulse")
    until_early = site.redis.written()
    done = [site.submit([site.read(), site.read()]) for _ in range(20)]
    for run in done:
        assert run.gather(timeout=30).ok
    waiting = [_batch(site) for _ in range(5)]
    site.redis.kill()
    site.redis.cut_tail(0.6, since=until_early)
    site.redis.start("--aof-load-truncated", "yes")
    began_s = time.monotonic()
    for run in waiting:
        with pytest.raises(RunLost):
            run.gather(timeout=30)
    assert time.monotonic() - began_s < LOST_WITHIN_S + BUSY_S
    site.open_latch("tail")
    result = early.gather(timeout=30)
    assert (result.ok, result.rolled_back, early.status().rolled_back) == (True, True, True)
    told = []
    for run in done:
        with suppress(RunUnknown):
            told.append(site.producer.attach(run.id).gather(timeout=30))
    assert 0 < len(told) < len(done)  # Something was gone, and that was said.
    assert all(len(result.outcomes) == 2 and result.ok for result in told)
    site.runs.clear()
    _works_again(site)
    assert site.ledger.site.rollbacks()[0] == 1


def test_connections_cut_all_the_time_double_and_lose_nothing(new_site: Callable[..., FaultSite]) -> None:
    site = new_site(scale={"critical": 2, "parallel": 2})
    with _every(CUT_EVERY_S, lambda: _cut(site.redis)):
        until_s = time.monotonic() + CUT_FOR_S
        while time.monotonic() < until_s:
            with suppress(SteplineError):
                site.gather(_batch(site))
    assert len(site.runs) > 20
    assert _all_ok(site)
    site.check()


@pytest.mark.parametrize("how", ["paused", "frozen"])
def test_redis_that_stands_still_for_five_seconds_kills_nobody_and_callers_hear_of_it(
    new_site: Callable[..., FaultSite], how: str
) -> None:
    site = new_site(scale={"critical": 2, "parallel": 1}, variables={"STEPLINE_SOCKET_TIMEOUT_S": "2"})
    runs = [_batch(site) for _ in range(10)]
    live = {card.worker_id for card in site.ledger.site.workers()}
    assert len(live) == 3
    begun_s = time.monotonic()
    if how == "paused":
        site.redis.client.client_pause(round(FROZEN_S * 1000))
    else:
        site.redis.freeze()
        threading.Timer(FROZEN_S, site.redis.freeze, kwargs={"thaw": True}).start()
    with pytest.raises(SteplineError):
        site.producer.submit([site.read()])
    assert time.monotonic() - begun_s < CLEAR_ERROR_S + BUSY_S
    wait_until(lambda: time.monotonic() > begun_s + FROZEN_S)
    site.redis.wait_until_ready()
    assert all(run.gather(timeout=30).ok for run in runs)
    assert _all_ok(site)
    time.sleep(LEASE_S)  # A lease in which a dead worker would have been found.
    assert {card.worker_id for card in site.ledger.site.workers()} == live
    site.check()


def test_a_full_redis_refuses_new_runs_and_the_accepted_ones_end_while_it_stays_full(
    new_site: Callable[..., FaultSite],
) -> None:
    site = new_site(scale={"critical": 1, "parallel": 2})
    latch = site.latch("full")
    site.submit([site.write(latch=latch), site.read()], order="overlap")
    site.wait_for("began", 2)
    memory = site.redis.client.info("memory")
    site.redis.client.config_set("maxmemory", int(memory["used_memory"] * 1.3))
    try:
        with pytest.raises(StoreFull, match="new runs are refused"):
            _submit_without_end(site)
        accepted = len(site.runs)
        assert accepted > 10
        # Now there is not a byte left: below what is in use already, and it stays so to the end.
        site.redis.client.config_set("maxmemory", int(memory["used_memory"] * 0.5))
        site.kill(site.workers["parallel-1"])  # Its successor finds a full Redis.
        site.open_latch("full")
        assert _all_ok(site)
        site.wait_until_whole()
        with pytest.raises(StoreFull):
            site.producer.submit([site.read()])
    finally:
        site.redis.client.config_set("maxmemory", "0")
    assert len(site.runs) == accepted
    assert site.gather(_batch(site)) is not None
    site.check()


def test_a_redis_that_may_evict_keys_is_refused(new_site: Callable[..., FaultSite]) -> None:
    site = new_site(scale={"critical": 0, "parallel": 1})
    site.redis.client.config_set("maxmemory-policy", "allkeys-lru")
    with Producer(site.settings, site.redis.url) as fresh, pytest.raises(UnfitRedis, match="evict"):
        fresh.submit([site.read()])


def test_a_redis_at_its_limit_of_clients_is_waited_for(new_site: Callable[..., FaultSite]) -> None:
    site = new_site(scale={"critical": 1, "parallel": 1})
    runs = [_batch(site) for _ in range(5)]
    clients = int(site.redis.client.info("clients")["connected_clients"])
    site.redis.client.config_set("maxclients", clients)
    try:
        begun_s = time.monotonic()
        with Producer(site.settings, site.redis.url) as fresh, pytest.raises(BrokerUnavailable) as refused:
            fresh.submit([site.read()])
        assert not isinstance(refused.value, NoAnswer)  # It is certain that nothing was accepted.
        assert time.monotonic() - begun_s < CLEAR_ERROR_S + BUSY_S
        time.sleep(LEASE_S)
    finally:
        site.redis.client.config_set("maxclients", 10_000)
    assert all(run.gather(timeout=30).ok for run in runs)
    assert _all_ok(site)
    site.check()


def test_a_redis_that_is_a_read_only_replica_for_a_while_is_waited_for(new_site: Callable[..., FaultSite]) -> None:
    site = new_site(scale={"critical": 1, "parallel": 1})
    latch = site.latch("replica")
    runs = [site.submit([site.write(latch=latch), site.read()], order="overlap"), *[_batch(site) for _ in range(5)]]
    site.wait_for("began", 2)
    site.redis.client.replicaof("127.0.0.1", 1)
    begun_s = time.monotonic()
    try:
        site.open_latch("replica")
        with pytest.raises(BrokerUnavailable, match=r"takes no writes: .*read only"):
            site.producer.submit([site.read()])
        assert time.monotonic() - begun_s < CLEAR_ERROR_S + BUSY_S
        time.sleep(LEASE_S)
    finally:
        site.redis.client.replicaof("NO", "ONE")
    assert all(run.gather(timeout=30).ok for run in runs)
    assert _all_ok(site)
    site.wait_until_whole()
    site.check()


def test_a_redis_that_is_loading_is_waited_for(new_site: Callable[..., FaultSite]) -> None:
    site = new_site(scale={"critical": 1, "parallel": 1})
    pipeline = site.redis.client.pipeline()
    for number in range(200):
        pipeline.set(f"bulk:{number}", "x" * 1000)
    pipeline.execute()
    runs = [_batch(site) for _ in range(5)]
    with suppress(redis.ConnectionError):
        site.redis.kill()
    # Each key that it reads costs the server so much time: it answers LOADING for a second or two.
    site.redis.start_loading("--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024")
    begun_s = time.monotonic()
    with suppress(SteplineError):  # It may as well wait until the server has read its files.
        site.producer.submit([site.read()])
    assert time.monotonic() - begun_s < CLEAR_ERROR_S + BUSY_S
    site.redis.wait_until_ready()
    assert all(run.gather(timeout=30).ok for run in runs)
    assert _all_ok(site)
    site.check()


def _submit_without_end(site: FaultSite) -> None:
    while True:
        _batch(site)


def _works_again(site: FaultSite) -> None:
    """By itself, without anybody starting anything."""
    site.wait_until_whole()
    for _ in range(3):
        _batch(site)
    assert _all_ok(site)
    site.check()


def _cut(server: FaultRedis) -> None:
    with suppress(redis.RedisError):
        server.client.client_kill_filter(_type="normal", skipme=True)


@contextmanager
def _every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Do something again and again while the block runs."""
    over = threading.Event()

    def again() -> None:
        while not over.wait(seconds):
            act()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _signal(name: str) -> signal.Signals:
    return signal.Signals[f"SIG{name}"]
