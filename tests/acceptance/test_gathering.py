"""The way out: gather in all its forms, from threads, coroutines, other processes, and forked ones."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from producer import Producer, Result
from steps import GatherTimeout, RunUnknown
from tests.support.latches import Journal, Latch
from tests.support.processes import python_program
from tests.support.worker_sites import WorkerSite

AT_ONCE_S = 0.4
"""What is there already takes a few milliseconds; a waiter that looks for itself would take half a second."""

FINISH_S = 30.0

RETRIED_MS = 1500.0
"""Two retries after 0.1 s each take less, unless a keeper has to find out that nothing was published."""

ATTACHING = """
import json, sys
from producer import Producer
with Producer() as producer:
    run = producer.attach(sys.argv[1])
    print("attached", flush=True)
    print(json.dumps(run.gather(timeout=20).as_dict()), flush=True)
"""

FORKING = """
import os, sys, threading, traceback
from pathlib import Path
from producer import Producer
producer = Producer()
def work(label):
    for number in range(3):
        result = producer.run(["GetEchoStep", "WriteEchoStep"], context={"value": f"{label}.{number}"}, timeout=20)
        assert [one.value for one in result.outcomes] == [f"{label}.{number}"] * 2, result
work("before")
left_behind = producer.submit(["GetHeldStep"], context={"latch": sys.argv[1]})
children = []
for label in ("first child", "second child"):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            threads = [threading.Thread(target=work, args=(label,)) for _ in range(2)]
            [thread.start() for thread in threads]
            work(label)
            [thread.join() for thread in threads]
            assert left_behind.gather(timeout=20).ok
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    children.append(pid)
work("parent")
Path(sys.argv[1] + ".open").touch()
assert left_behind.gather(timeout=20).ok
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
"""


def test_gather_times_out_with_the_outcomes_so_far_and_the_run_goes_on(
    producer: Producer, latches: Callable[[str], Latch]
) -> None:
    quick, slow = latches("quick"), latches("slow")
    run = producer.submit([slow.call("GetHeldStep", id="slow"), quick.call("GetHeldStep", id="quick"), "WriteEchoStep"])
    slow.wait_until_begun()
    quick.open()
    for outcome in run.outcomes():
        if outcome.id == "quick":
            break
    with pytest.raises(GatherTimeout) as caught:
        run.gather(timeout=0.05)
    assert [one.id for one in caught.value.outcomes] == ["quick", "WriteEchoStep"]
    assert all(one.ok for one in caught.value.outcomes)
    assert (caught.value.run_id, caught.value.total) == (run.id, 3)
    with pytest.raises(GatherTimeout):
        asyncio.run(run.gather_async(timeout=0.05))
    slow.open()
    result = run.gather(timeout=20)
    assert result.ok
    assert [one.id for one in result.outcomes] == ["slow", "quick", "WriteEchoStep"]


def test_many_threads_gather_the_same_run(producer: Producer, latch: Latch) -> None:
    run = producer.submit([latch.call("GetHeldStep")])
    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(run.gather, 20) for _ in range(8)]
        latch.wait_until_begun()
        latch.open()
        results = [future.result(20) for future in futures]
    assert all(result.ok and result.run_id == run.id for result in results)
    assert run.gather() is run.gather()


def test_gather_async_waits_for_many_runs_without_a_thread_each(producer: Producer, latch: Latch) -> None:
    async def gather_all() -> list[Result]:
        runs = [producer.submit([latch.call("GetAwaitedStep")]) for _ in range(10)]
        quick = [producer.submit(["GetEchoStep"], context={"value": number}) for number in range(20)]
        waiting = [asyncio.create_task(run.gather_async(timeout=20)) for run in runs]
        results = await asyncio.gather(*(run.gather_async(timeout=20) for run in quick))
        assert [result.outcomes[0].value for result in results] == list(range(20))
        assert not any(task.done() for task in waiting)
        names = [thread.name for thread in threading.enumerate()]
        assert sum(name == "stepline-inbox" for name in names) == 1
        latch.open()
        return [*results, *await asyncio.gather(*waiting)]

    before = threading.active_count()
    results = asyncio.run(gather_all())
    assert all(result.ok for result in results)
    assert threading.active_count() <= before + 1  # The inbox may have been started meanwhile.


def test_outcomes_are_yielded_as_they_settle(producer: Producer, latches: Callable[[str], Latch]) -> None:
    held = {name: latches(name) for name in ("first", "second", "third")}
    run = producer.submit([held[name].call("GetHeldStep", id=name) for name in ("first", "second", "third")])
    outcomes = run.outcomes()
    for name in ("third", "first", "second"):
        held[name].wait_until_begun()
        held[name].open()
        outcome = next(outcomes)
        assert (outcome.id, outcome.value) == (name, "let go")
    assert list(outcomes) == []
    assert [one.id for one in run.outcomes()] == ["first", "second", "third"]


def test_outcomes_can_be_awaited_one_by_one(producer: Producer, latches: Callable[[str], Latch]) -> None:
    held = {name: latches(name) for name in ("first", "second")}
    run = producer.submit([held[name].call("GetHeldStep", id=name) for name in ("first", "second")])

    async def follow() -> list[str]:
        seen = []
        held["second"].open()
        async for outcome in run.outcomes():
            seen.append(outcome.id)
            held["first"].open()
        return seen

    assert asyncio.run(follow()) == ["second", "first"]


def test_another_process_attaches_to_a_run_under_way(site: WorkerSite, producer: Producer, latch: Latch) -> None:
    run = producer.submit([latch.call("GetHeldStep", id="held"), "WriteFailureStep"])
    latch.wait_until_begun()
    with python_program(["-c", ATTACHING, run.id], environment=site.joining()) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "attached\n"
        latch.open()
        out, err = other.communicate(timeout=FINISH_S)
        assert other.returncode == 0, err
    assert json.loads(out) == {**run.gather(timeout=20).as_dict(), "total_ms": json.loads(out)["total_ms"]}


def test_a_settled_run_that_is_attached_to_is_there_at_once(producer: Producer) -> None:
    result = producer.run(["GetEchoStep", "WriteEchoStep"], context={"value": 7}, timeout=20)
    started = time.monotonic()
    again = producer.attach(result.run_id).gather(timeout=20)
    assert time.monotonic() - started < AT_ONCE_S
    assert again == result


def test_a_run_that_never_was_cannot_be_attached_to(producer: Producer) -> None:
    with pytest.raises(RunUnknown, match="there is no run 0123456789"):
        producer.attach("0123456789abcdef")


def test_a_producer_and_its_runs_survive_a_fork(site: WorkerSite, latch: Latch) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, latch.path],
        env=site.joining(),
        capture_output=True,
        text=True,
        check=False,
        timeout=FINISH_S,
    )
    assert (done.returncode, done.stdout) == (0, "[0, 0]\n"), done.stderr


def test_closing_one_producer_leaves_the_others_of_its_process_alone(site: WorkerSite, producer: Producer) -> None:
    with Producer(site.settings, site.url) as other:
        assert other.run(["GetEchoStep", "WriteEchoStep"], timeout=20).ok
        assert producer.run(["GetEchoStep", "WriteEchoStep"], timeout=20).ok
    assert producer.run(["GetEchoStep", "WriteEchoStep"], timeout=20).ok
    assert other.run(["GetEchoStep"], timeout=20).ok  # It opens again when it is needed again.
    other.close()


def test_a_step_may_submit_a_run_and_not_wait_for_it(producer: Producer, journal: Journal) -> None:
    for inside in [one.value for one in producer.run(["GetNestedStep"] * 5, timeout=20).outcomes]:
        assert inside["error"] == "GatherInsideStep"
        assert producer.attach(inside["run_id"]).gather(timeout=20).outcomes[0].value == "from inside"
    # What that step's producer has closed is not what its worker publishes retries with.
    retried = {"name": "GetFixedStep", "params": {"journal": journal.path}}
    result = producer.run([retried], timeout=20)
    assert result.outcomes[0].attempts == 3
    assert result.total_ms < RETRIED_MS


def test_large_batches_are_gathered_whole_and_in_input_order(producer: Producer) -> None:
    names = ["GetEchoStep", "GetTextStep"] * 600
    steps = [{"name": name, "params": {} if name == "GetEchoStep" else {"length": 100}} for name in names]
    result = producer.run(steps, context={"value": 0}, max_concurrency=20, timeout=FINISH_S)
    assert result.ok
    assert [one.name for one in result.outcomes] == names
    assert result.outcomes[-1].id == "GetTextStep_600"
