"""Steps in processes of their own, on a real worker: alone in life and in death."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from producer import Producer
from producer.launcher.sessions import is_alive
from tests.support.latches import Journal, Latch
from tests.support.own_process_steps import GetOwnDeathStep
from tests.support.processes import wait_until
from tests.support.worker_sites import WorkerSite

TIMEOUT_S = 0.3
ENDS_WITHIN_S = 1.0
"""An attempt that overruns ends so long after its time-out at latest."""

AGAIN_WITHIN_S = 1.0
"""After the death of its process a step runs again within this time."""


def test_a_step_runs_in_a_process_of_its_own_with_all_that_it_may_know(site: WorkerSite, producer: Producer) -> None:
    steps = ["GetEchoStep", "GetOwnContextStep", "GetOwnClassStep", "GetOwnAwaitedStep"]
    result = producer.run(steps, context={"value": [1]}, max_concurrency=1, timeout=20)
    assert result.ok
    told = [result[name].value for name in ("GetOwnContextStep", "GetOwnClassStep")]
    assert len({one["pid"] for one in told} | {site.worker("parallel-1").pid}) == 3
    assert told[0]["context"] == {"value": [1]}
    assert told[0]["results"]["GetEchoStep"] == [1]
    assert told[1]["effect_key"] == f"{result.run_id}/GetOwnClassStep"
    assert told[0]["fence"] < told[1]["fence"]
    assert result["GetOwnAwaitedStep"].value == [1]


def test_a_step_submits_runs_from_its_own_process_and_waits_for_none(producer: Producer) -> None:
    value = producer.run(["GetOwnNestedStep"], timeout=20)["GetOwnNestedStep"].value
    assert value["error"] == "GatherInsideStep"
    assert producer.attach(value["run_id"]).gather(timeout=20).ok


def test_a_failure_is_told_with_its_traceback_and_tried_again(producer: Producer, journal: Journal) -> None:
    failure = producer.run(["GetOwnFailureStep"], timeout=20)["GetOwnFailureStep"]
    assert failure.error is not None
    assert (failure.status, failure.error.type, failure.error.message) == ("failed", "ValueError", "no luck")
    assert "GetOwnFailureStep" in failure.error.details["traceback"]
    params = {"journal": journal.path, "succeeds_at": 2}
    again = producer.run([{"name": "GetOwnSecondChanceStep", "params": params}], timeout=20)["GetOwnSecondChanceStep"]
    assert (again.status, again.value, again.attempts) == ("succeeded", 2, 2)
    first, second = journal.lines("began")
    assert first["effect_key"] == second["effect_key"]
    assert first["pid"] != second["pid"]


def test_a_large_value_arrives(producer: Producer) -> None:
    call = {"name": "GetOwnTextStep", "params": {"length": 1_000_000}}
    assert len(producer.run([call], timeout=20)["GetOwnTextStep"].value) == 1_000_000


@pytest.mark.parametrize("name", ["GetOwnHeldStep", "GetOwnHeldAwaitedStep", "GetOwnDeafStep", "GetOwnSwallowingStep"])
def test_a_step_that_overruns_ends_within_a_second(producer: Producer, latch: Latch, name: str) -> None:
    (outcome,) = producer.run([latch.call(name, timeout=TIMEOUT_S)], timeout=20).outcomes
    assert (outcome.status, outcome.attempts) == ("timed_out", 1)
    assert outcome.error is not None
    assert outcome.error.type == "StepTimeout"
    assert TIMEOUT_S * 1000 <= (outcome.ran_ms or 0) < (TIMEOUT_S + ENDS_WITHIN_S) * 1000
    (begun,) = latch.lines("began")
    assert not is_alive(begun["pid"])


@pytest.mark.parametrize("name", ["GetOwnHeldStep", "GetOwnDeafStep"])
def test_a_step_of_a_cancelled_run_is_stopped(producer: Producer, latch: Latch, name: str) -> None:
    run = producer.submit([latch.call(name)])
    (begun,) = latch.wait_until_begun()
    run.cancel()
    (outcome,) = run.gather(timeout=20).outcomes
    assert outcome.status == "cancelled"
    assert time.monotonic() - begun["at_s"] < 5
    assert not is_alive(begun["pid"])


def test_it_holds_a_place_of_its_worker_like_any_other(producer: Producer, latch: Latch, journal: Journal) -> None:
    run = producer.submit([latch.call("GetOwnHeldStep")] * 20, max_concurrency=20)
    latch.wait_until_begun(20)
    call = {"name": "GetJournalStep", "params": {"journal": journal.path, "label": "behind"}}
    behind = producer.submit([call])
    latch.open()
    ended_at_s = time.monotonic()
    assert run.gather(timeout=20).ok
    assert behind.gather(timeout=20).ok
    assert journal.intervals()["behind"][0] > ended_at_s


@pytest.mark.parametrize(
    "how", [{"signum": int(signal.SIGKILL)}, {"signum": int(signal.SIGSEGV)}, {"code": 0}], ids=repr
)
def test_a_step_that_ends_its_process_every_time_is_lost_and_its_neighbours_are_not(
    site: WorkerSite, producer: Producer, latch: Latch, journal: Journal, how: dict[str, int]
) -> None:
    worker = site.worker("parallel-1").pid
    deadly = {"name": GetOwnDeathStep.__name__, "params": {"journal": journal.path, **how}}
    run = producer.submit([deadly, latch.call("GetHeldStep"), latch.call("GetOwnHeldStep"), "GetEchoStep"])
    deaths = [line["at_s"] for line in journal.wait_for("began", 3)]
    latch.open()
    result = run.gather(timeout=20)
    assert [one.status for one in result.outcomes] == ["lost", "succeeded", "succeeded", "succeeded"]
    lost = result.outcomes[0]
    assert lost.error is not None
    assert (lost.error.type, lost.attempts) == ("WorkerLost", 3)
    assert [one.attempts for one in result.outcomes[1:]] == [1, 1, 1]
    assert max(deaths[1] - deaths[0], deaths[2] - deaths[1]) < AGAIN_WITHIN_S
    assert site.worker("parallel-1").pid == worker
    assert len(journal.lines("began")) == 3
    wait_until(lambda: not site.claims())


def test_a_step_killed_from_outside_runs_again_at_once(site: WorkerSite, producer: Producer, latch: Latch) -> None:
    run = producer.submit([latch.call("GetOwnHeldStep")])
    (first,) = latch.wait_until_begun()
    killed_at_s = time.monotonic()
    os.kill(first["pid"], signal.SIGKILL)
    second = latch.wait_until_begun(2)[1]
    assert second["at_s"] - killed_at_s < AGAIN_WITHIN_S
    latch.open()
    (outcome,) = run.gather(timeout=20).outcomes
    assert (outcome.status, outcome.attempts) == ("succeeded", 2)
    assert site.deaths(run.id) == 1


def test_what_a_step_has_started_ends_with_it(producer: Producer, journal: Journal) -> None:
    call = {"name": "GetOwnLitterStep", "params": {"journal": journal.path}}
    assert producer.run([call], timeout=20).ok
    (left,) = journal.lines("left")
    assert not [pid for pid in left["pids"] if is_alive(pid)]


def test_its_process_ends_with_a_worker_that_is_killed(mortal_site: WorkerSite, latch: Latch) -> None:
    site, producer = mortal_site, mortal_site.producer
    run = producer.submit([latch.call("GetOwnDeafStep"), latch.call("GetOwnHeldStep")])
    begun = latch.wait_until_begun(2)
    workers = [site.worker(name) for name in ("parallel-1", "parallel-2")]
    for worker in workers:
        site.kill(worker)
    wait_until(lambda: not [line["pid"] for line in begun if is_alive(line["pid"])], timeout_s=1)
    latch.wait_until_begun(4)
    latch.open()
    run.cancel()
    run.gather(timeout=20)


def test_a_worker_that_stops_gives_back_what_does_not_end_and_nobody_counts_a_death(
    mortal_site: WorkerSite, latches: Callable[[str], Latch]
) -> None:
    site, producer = mortal_site, mortal_site.producer
    deaf, held = latches("deaf"), latches("held")
    run = producer.submit([deaf.call("GetOwnDeafStep")])
    brief = producer.submit([held.call("GetOwnHeldStep")])
    (first,), _ = deaf.wait_until_begun(), held.wait_until_begun()
    for name in ("parallel-1", "parallel-2"):
        site.kill(site.worker(name), signal.SIGTERM)
    held.open()
    assert [(one.status, one.attempts) for one in brief.gather(timeout=20).outcomes] == [("succeeded", 1)]
    _, second = deaf.wait_until_begun(2)
    assert not is_alive(first["pid"])
    assert second["pid"] != first["pid"]
    assert site.deaths(run.id) == 0
    os.kill(second["pid"], signal.SIGKILL)
    run.cancel()
    run.gather(timeout=20)
