"""The events of a run on real workers, followed from another process too; and steps of it that are cancelled."""

import json
from collections.abc import Callable
from typing import Any

from producer import Producer
from tests.support.latches import Latch
from tests.support.processes import ROOT, python_program, wait_until
from tests.support.worker_sites import WorkerSite

FOLLOWER = """
import json, sys
from producer import Producer
with Producer() as producer:
    for event in producer.attach(sys.argv[1]).events(follow=True):
        print(json.dumps(event.as_dict()), flush=True)
"""


def test_another_process_follows_a_run_to_its_end(site: WorkerSite, producer: Producer, latch: Latch) -> None:
    run = producer.submit([latch.call("WriteHeldStep"), "WriteFailureStep", "WriteEchoStep", "GetEchoStep"])
    latch.wait_until_begun()
    with python_program(["-c", FOLLOWER, run.id], environment=site.joining(), cwd=ROOT) as follower:
        assert follower.stdout is not None
        seen = [json.loads(follower.stdout.readline()) for _ in range(2)]
        assert [one["event"] for one in seen] == ["run.started", "step.started"]
        assert follower.poll() is None
        latch.open()
        rest, errors = follower.communicate(timeout=30)
        assert (follower.returncode, errors) == (0, "")
    seen += [json.loads(line) for line in rest.splitlines()]
    assert seen == [event.as_dict() for event in run.events()]
    assert [(one["event"], one["step"]) for one in seen] == [
        ("run.started", None),
        ("step.started", "WriteHeldStep"),
        ("step.completed", "WriteHeldStep"),
        ("step.started", "WriteFailureStep"),
        ("step.failed", "WriteFailureStep"),
        ("step.skipped", "WriteEchoStep"),
        ("step.started", "GetEchoStep"),
        ("step.completed", "GetEchoStep"),
        ("run.completed", None),
    ]


def test_following_in_one_thread_while_the_run_goes_on(producer: Producer, latch: Latch) -> None:
    run = producer.submit([latch.call("GetHeldStep"), "GetEchoStep"])
    following = run.events(follow=True)
    seen = []
    for event in following:
        seen.append(event)
        if event.event == "step.started" and event.step == "GetHeldStep":
            latch.open()
    assert {event.event for event in seen} == {"run.started", "step.started", "step.completed", "run.completed"}
    assert seen[-1].event == "run.completed"
    assert list(run.events(after=seen[2].id)) == seen[3:]


def test_a_running_coroutine_that_is_cancelled_stops_and_its_run_goes_on(producer: Producer, latch: Latch) -> None:
    run = producer.submit([latch.call("GetAwaitedStep"), "GetEchoStep"])
    latch.wait_until_begun()
    run.cancel_step("GetAwaitedStep", "nobody looks any more")
    latch.wait_for("cancelled")
    result = run.gather(timeout=20)
    assert [one.status for one in result.outcomes] == ["cancelled", "succeeded"]
    assert result.outcomes[0].attempts == 1
    assert [event.event for event in run.events() if event.step == "GetAwaitedStep"] == [
        "step.started",
        "step.cancelled",
    ]


def test_a_running_critical_step_that_is_cancelled_stops_and_frees_its_lane(producer: Producer, latch: Latch) -> None:
    run = producer.submit([latch.call("WriteHeldStep"), "GetEchoStep"])
    latch.wait_until_begun()
    behind = producer.submit(["WriteEchoStep"])
    run.cancel_step("WriteHeldStep")
    assert [one.status for one in run.gather(timeout=20).outcomes] == ["cancelled", "succeeded"]
    assert behind.gather(timeout=20).ok


def test_a_step_that_waits_is_cancelled_and_never_starts(producer: Producer, latches: Callable[[str], Latch]) -> None:
    first, second = latches("first"), latches("second")
    run = producer.submit([first.call("WriteHeldStep"), second.call("GetHeldStep"), "GetEchoStep"])
    first.wait_until_begun()
    run.cancel_step("GetHeldStep")
    first.open()
    assert [(one.status, one.attempts) for one in run.gather(timeout=20).outcomes] == [
        ("succeeded", 1), ("cancelled", 0), ("succeeded", 1),
    ]  # fmt: skip
    assert second.lines() == []


def test_what_runs_runs_on_when_its_queue_is_cleared(producer: Producer, latch: Latch) -> None:
    held = [producer.submit([latch.call("GetHeldStep"), *["GetEchoStep"] * 5], max_concurrency=1) for _ in range(4)]
    latch.wait_until_begun(4)
    assert producer.clear_queue("parallel") == 20
    latch.open()
    for run in held:
        statuses = [one.status for one in run.gather(timeout=20).outcomes]
        assert statuses == ["succeeded"] + ["cancelled"] * 5
    wait_until(lambda: _parallel(producer)["length"] == 0)
    assert producer.run(["GetEchoStep"] * 5, timeout=20).ok


def test_what_failed_is_tried_again_by_workers(producer: Producer, latch: Latch) -> None:
    run = producer.submit([latch.call("GetHeldStep", id="held", timeout=0.1), "GetEchoStep"], context={"value": 3})
    assert [one.status for one in run.gather(timeout=20).outcomes] == ["timed_out", "succeeded"]
    latch.open()
    again = producer.retry(run.id).gather(timeout=20)
    assert [(one.id, one.status, one.value) for one in again.outcomes] == [("held", "succeeded", "let go")]


def _parallel(producer: Producer) -> dict[str, Any]:
    (parallel,) = [one.as_dict() for one in producer.queues().queues if one.name == "parallel"]
    return parallel
