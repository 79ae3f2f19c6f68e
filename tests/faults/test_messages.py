"""Messages sent twice or not at all, workers added, steps that nobody knows, runs cancelled or not waited for."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from producer.inbox import Inbox
from producer.launcher.child import Child
from steps.ledger.keys import inbox_key
from steps.ledger.ledger import INBOX_CAP
from steps.ledger.records import Ready
from tests.support.broken_frames import FRAMES, MESSAGES, fuzzed
from tests.support.fault_checker import violations
from tests.support.fault_load import Load
from tests.support.fault_mail import FaultMail, unreadable
from tests.support.fault_sites import FaultSite
from tests.support.processes import ROOT, wait_until

COPIES = 10
CANCELLED_WITHIN_S = 5.0
MANY = 10_000
ROLLING_RESTARTS = 20
SLOWEST_MS = 10_000
MIB = 1024 * 1024
FUZZED, FUZZED_AT_ONCE = 10_000, 500
"""Half of them go to either queue."""

KILLED_AFTER = """
import os, signal, sys
from kombu.transport import redis as transport
from producer import Producer
from tests.support import fault_steps

folder, most = sys.argv[1], int(sys.argv[2])
put, sent = transport.Channel._put, []

def counted(self, *message, **more):
    if len(sent) >= most:
        os.kill(os.getpid(), signal.SIGKILL)
    sent.append(1)
    return put(self, *message, **more)

transport.Channel._put = counted
def killed_before_open(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if most < 0:
    from steps.ledger import Ledger
    Ledger.open = killed_before_open
calls = [{"name": "WriteFaultStep", "params": {"folder": folder}}]
calls += [{"name": "GetFaultStep", "params": {"folder": folder}}] * 40
Producer().submit(calls, order="overlap", name="orphan")
"""
"""A producer that is killed before its so-many-th message; -1: before the run is accepted."""


def test_the_same_message_ten_times_runs_nothing_twice(new_site: Callable[..., FaultSite]) -> None:
    site = new_site(scale={"critical": 2, "parallel": 2})
    publisher = site.producer._connections.publisher
    runs = [site.submit([*[site.write(seconds=0.02)] * 4, *[site.read(seconds=0.02)] * 20]) for _ in range(5)]
    for _ in range(2):
        for run in runs:
            publisher.publish([Ready(run.id, 0, "critical", COPIES), Ready(run.id, 1, "parallel", COPIES)])
        site.gather(runs[0])
    assert all(result is not None and result.ok for result in site.gather_all())
    assert {one.attempts for run in runs for one in run.gather().outcomes} == {1}
    site.check(most_attempts=1)


def test_further_workers_on_critical_keep_lanes_apart_and_in_order(new_site: Callable[..., FaultSite]) -> None:
    site = new_site(scale={"critical": 2, "parallel": 0})
    four = (
        '[{"name": "critical", "pool": "prefork", "concurrency": 4},'
        ' {"name": "parallel", "pool": "threads", "concurrency": 4}]'
    )
    site.add_worker("critical", 3, STEPLINE_QUEUES=four)
    for number in range(100):
        site.submit([site.write(seconds=0.01), site.write(), site.write(lane=f"lane-{number % 3}", seconds=0.01)])
    assert all(result is not None and result.ok for result in site.gather_all())
    assert len({line.pid for line in site.evidence().lines}) > 2
    site.check(most_attempts=1)


@pytest.mark.parametrize("sent", [-1, 0, 1, 2, 3])
def test_a_run_whose_producer_was_killed_between_its_messages_is_whole_or_not_there(
    shared_site: FaultSite, sent: int
) -> None:
    site = shared_site
    before = {run.run_id for run in site.producer.runs(name="orphan")}
    environment = {**site.environment, "STEPLINE_REDIS_URL": site.redis.url}
    command = [sys.executable, "-c", KILLED_AFTER, str(site.folder), str(sent)]
    code = subprocess.run(command, env=environment, cwd=ROOT, timeout=30, check=False).returncode
    found = [run.run_id for run in site.producer.runs(name="orphan") if run.run_id not in before]
    assert code in (-9, 0)
    assert len(found) == (sent >= 0)
    for run_id in found:
        site.runs.append(site.producer.attach(run_id))
    assert all(result is not None and result.ok for result in site.gather_all())
    site.check(most_attempts=1)


def test_ten_thousand_queued_and_a_hundred_running_steps_are_cancelled_in_time(
    new_site: Callable[..., FaultSite],
) -> None:
    wide = (
        '[{"name": "critical", "pool": "prefork", "concurrency": 1},'
        ' {"name": "parallel", "pool": "threads", "concurrency": 100}]'
    )
    site = new_site(scale={"critical": 1, "parallel": 1}, variables={"STEPLINE_QUEUES": wide})
    calls = [site.read(latch=site.latch("many"))] * (MANY // 2)
    running = site.submit(calls, max_concurrency=100)
    queued = [site.submit([site.write()] * (MANY // 10)) for _ in range(5)]
    site.wait_for("began", 100)
    begun_s = time.monotonic()
    for run in (*queued, running):
        run.cancel()
    cancelled_s = time.monotonic()
    assert cancelled_s - begun_s < CANCELLED_WITHIN_S
    results = [site.gather(run) for run in (*queued, running)]
    assert {one.status for result in results if result is not None for one in result.outcomes} <= {
        "cancelled",
        "succeeded",
    }
    assert not [line for line in site.evidence().lines if line.what == "began" and line.start_s > cancelled_s]
    assert site.producer.run([site.write(), site.read()], timeout=20).ok
    site.check()


@pytest.mark.parametrize(
    "name", ["WritePlainFaultStep", "GetPlainFaultStep", "WriteWithContextFaultStep", "GetWithContextFaultStep"]
)
def test_ten_thousand_steps_settle_in_flat_memory(new_site: Callable[..., FaultSite], name: str) -> None:
    """In one lane, and side by side, with ``ctx`` and without; of what was done, ledger and caller are asked."""
    site = new_site(scale={"critical": 1, "parallel": 1})
    assert site.producer.run([name] * 500, timeout=60).ok
    before = _memory(site)
    site.submit([{"name": name, "params": {"value": number}} for number in range(MANY)])
    (result,) = site.gather_all(120)
    assert result is not None
    assert result.ok
    assert [(one.value, one.attempts) for one in result.outcomes] == [(number, 1) for number in range(MANY)]
    grown = {name: memory - before[name] for name, memory in _memory(site).items()}
    assert all(growth < 64 * MIB for growth in grown.values()), grown
    assert [sentence for sentence in violations(site.evidence()) if sentence[0] != "B"] == []


def test_a_step_that_leaks_five_thousand_times_leaves_the_worker_as_it_was(new_site: Callable[..., FaultSite]) -> None:
    site = new_site(scale={"critical": 0, "parallel": 1})
    leak = {"name": "GetLeakingStep", "params": {"folder": str(site.folder)}}
    assert site.producer.run([leak] * 500, timeout=60).ok
    keys, process = set(site.redis.client.scan_iter()), psutil.Process(site.workers["parallel-1"].pid)
    before = (process.num_threads(), process.num_fds(), process.memory_info().rss)
    for _ in range(10):
        assert site.producer.run([leak] * 500, timeout=60).ok
    wait_until(lambda: process.num_threads() <= before[0] + 2)
    assert process.num_fds() <= before[1] + 4
    assert process.memory_info().rss < before[2] + 48 * MIB
    site.producer.purge()
    wait_until(lambda: len(set(site.redis.client.scan_iter()) - keys) == 0)


@pytest.mark.parametrize("queue", ["critical", "parallel"])
def test_messages_that_nobody_understands_are_set_aside_and_the_next_step_runs(
    new_site: Callable[..., FaultSite], queue: str
) -> None:
    site = new_site()
    mail, pids = FaultMail(site), {name: worker.pid for name, worker in site.workers.items()}
    for broken in (*FRAMES, *MESSAGES):
        mail.push(queue, broken.raw)
        site.gather(site.submit([site.write(), site.read()]))
    for broken, letter in zip((*FRAMES, *MESSAGES), mail.take_letters(queue), strict=True):
        assert broken.reason in letter.reason, broken
        assert (letter.queue, letter.worker.startswith(queue)) == (queue, True), broken
    for seed in range(FUZZED // FUZZED_AT_ONCE // 2):
        frames = list(fuzzed(seed, FUZZED_AT_ONCE))
        mail.push(queue, *frames)
        site.gather(site.submit([site.write(), site.read()]))
        letters = mail.take_letters(queue)
        assert unreadable(frames) <= Counter(letter.raw for letter in letters), seed
        assert all(letter.reason for letter in letters), seed
    assert all(result is not None and result.ok for result in site.gather_all())
    wait_until(mail.is_empty)
    assert {name: worker.pid for name, worker in site.workers.items()} == pids
    site.check(most_attempts=1)


def test_twenty_rolling_restarts_under_load_show_in_no_outcome(new_site: Callable[..., FaultSite]) -> None:
    hurried = {"STEPLINE_SHUTDOWN_S": "0.1"}  # So that there are steps to give back.
    site = new_site(scale={"critical": 2, "parallel": 2}, variables=hurried)
    load = Load(site, ROLLING_RESTARTS, 0.2).start()
    for _ in range(ROLLING_RESTARTS):
        for number in (1, 2):
            _restart(site, [site.workers[f"{queue}-{number}"] for queue in ("critical", "parallel")])
    assert load.finish(30) == []
    assert len(site.runs) > 2 * ROLLING_RESTARTS
    outcomes = [outcome for run in site.evidence().runs for outcome in run.ledger or ()]
    assert Counter(outcome.status for outcome in outcomes) == {"succeeded": len(outcomes)}
    took_ms = sorted(run.status().duration_ms or 0 for run in site.runs)
    assert took_ms[len(took_ms) * 99 // 100] < SLOWEST_MS
    site.check()


def test_a_worker_that_lacks_a_step_parks_it_and_drops_nothing(new_site: Callable[..., FaultSite]) -> None:
    site = new_site(scale={"critical": 0, "parallel": 0})
    site.add_worker("parallel", 1, STEPLINE_STEP_MODULES="tests.support.rare_steps")
    site.wait_until_whole()
    run = site.submit([site.read()])
    wait_until(lambda: "step.parked" in {event["event"] for event in site.events(run.id)})
    site.add_worker("parallel", 2)
    result = site.gather(run)
    assert result is not None
    assert [(one.status, one.attempts) for one in result.outcomes] == [("succeeded", 1)]
    site.check()


def test_a_waiter_that_reads_nothing_holds_up_nobody_and_its_inbox_stays_small(
    new_site: Callable[..., FaultSite], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = new_site()
    monkeypatch.setattr(Inbox, "_receive", lambda self: time.sleep(0.5))
    for _ in range(INBOX_CAP + 300):
        site.submit([site.read()])
    wait_until(lambda: site.ledger.site.open_count() == 0, 60)
    key = inbox_key(site.settings.key_prefix, site.producer._connections.inbox.id)
    assert site.redis.client.llen(key) == INBOX_CAP
    monkeypatch.undo()
    with ThreadPoolExecutor(100) as threads:
        assert all(result is not None and result.ok for result in threads.map(site.gather, site.runs))
    site.check()


def _restart(site: FaultSite, workers: Sequence[Child]) -> None:
    """Stop workers as a deploy does, and wait until their successors are live."""
    stopped = [worker.pid for worker in workers]
    for worker in workers:
        site.stop(worker)
    wait_until(lambda: not {worker.pid for worker in workers} & {None, *stopped})
    site.wait_until_whole()


def _memory(site: FaultSite) -> dict[str, int]:
    """Return how much memory each process of the site has, by its name."""
    found: dict[str, int] = {}
    for name, worker in site.workers.items():
        family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
        found |= {f"{name}/{number}": process.memory_info().rss for number, process in enumerate(family)}
    return found
