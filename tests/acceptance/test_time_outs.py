"""Steps that overrun: coroutines, threads and prefork children, those that listen and those that do not."""

import os
import time

from producer import Producer
from producer.launcher.sessions import is_alive
from steps import Outcome
from tests.support.latches import Latch
from tests.support.processes import wait_until
from tests.support.worker_sites import WorkerSite

TIMEOUT_S = 0.3

ENDS_WITHIN_S = 1.0
"""An attempt that overruns ends so long after its time-out at latest."""

SLOTS = 20
"""Steps that the parallel worker runs at once."""


def test_a_coroutine_that_overruns_is_cancelled(producer: Producer, latch: Latch) -> None:
    outcome = _overrun(producer, latch, "GetAwaitedStep")
    latch.wait_for("cancelled")
    assert outcome.worker is not None


def test_a_thread_that_overruns_settles_at_its_deadline_and_is_told(producer: Producer, latch: Latch) -> None:
    _overrun(producer, latch, "GetHeldStep")
    latch.wait_for("told to stop")


def test_a_critical_step_that_overruns_is_stopped_softly_and_its_process_lives_on(
    site: WorkerSite, producer: Producer, latch: Latch
) -> None:
    children = site.child_pids()
    _overrun(producer, latch, "WriteHeldStep")
    (begun,) = latch.lines("began")
    assert [line["pid"] for line in latch.lines("stopped softly")] == [begun["pid"]]
    assert producer.run(["WriteEchoStep"], timeout=20).ok
    assert site.child_pids() == children


def test_a_critical_coroutine_that_overruns_is_cancelled(producer: Producer, latch: Latch) -> None:
    _overrun(producer, latch, "WriteAwaitedStep")
    latch.wait_for("cancelled")
    assert producer.run(["WriteEchoStep"], timeout=20).ok


def test_a_critical_step_that_swallows_its_time_out_is_killed(producer: Producer, latch: Latch) -> None:
    outcome = _killed(producer, latch, "WriteSwallowingStep")
    assert latch.lines("swallowed")
    assert outcome.error is not None
    assert "was killed" in outcome.error.message


def test_a_critical_step_that_ignores_the_alarm_is_killed(producer: Producer, latch: Latch) -> None:
    _killed(producer, latch, "WriteDeafStep")


def test_a_hard_stop_hits_only_the_step_that_overran(site: WorkerSite, producer: Producer, latch: Latch) -> None:
    steps = [
        {"name": "WriteEchoStep", "id": "before", "params": {"value": 1}},
        latch.call("WriteSwallowingStep", timeout=TIMEOUT_S),
        {"name": "WriteEchoStep", "id": "after", "params": {"value": 2}},
    ]
    run = producer.submit(steps, strategy="simple")
    behind = producer.submit(["WriteEchoStep"] * 3)
    result = run.gather(timeout=20)
    assert [(one.status, one.attempts) for one in result.outcomes] == [
        ("succeeded", 1),
        ("timed_out", 1),
        ("succeeded", 1),
    ]
    assert [(one.status, one.attempts) for one in behind.gather(timeout=20).outcomes] == [("succeeded", 1)] * 3
    wait_until(lambda: not site.claims())


def test_a_zombie_holds_no_slot(site: WorkerSite, producer: Producer, latch: Latch) -> None:
    zombies = [latch.call("GetDeafStep", timeout=TIMEOUT_S)] * SLOTS
    result = producer.run(zombies, max_concurrency=SLOTS, timeout=20)
    assert [one.status for one in result.outcomes] == ["timed_out"] * SLOTS
    assert not latch.lines("ended")  # All of them still run,
    held = latch.path + "-others"
    run = producer.submit([{"name": "GetHeldStep", "params": {"latch": held}}] * SLOTS, max_concurrency=SLOTS)
    others = Latch(type(site.folder)(held))
    others.wait_until_begun(SLOTS)  # and there is room for as many others.
    others.open()
    assert run.gather(timeout=20).ok
    latch.open()
    latch.wait_for("ended", SLOTS)


def test_a_time_out_is_not_tried_again(producer: Producer, latch: Latch) -> None:
    result = producer.run([latch.call("GetHeldStep", timeout=0.1, retries=3)], timeout=20)
    assert (result.outcomes[0].status, result.outcomes[0].attempts) == ("timed_out", 1)


def test_a_critical_step_that_is_killed_for_its_time_out_is_tried_again_where_it_says_so(
    producer: Producer, latch: Latch
) -> None:
    run = producer.submit([latch.call("WriteDeafOnceStep", timeout=TIMEOUT_S), "WriteEchoStep"])
    behind = producer.submit(["WriteEchoStep"])
    (outcome, after) = run.gather(timeout=20).outcomes
    assert (outcome.status, outcome.value, outcome.attempts) == ("succeeded", 2, 2)
    assert (after.status, after.attempts) == ("succeeded", 1)
    assert behind.gather(timeout=20).ok
    first, second = latch.lines("began")
    assert max(line["at_s"] for line in latch.lines("pulse")) < second["at_s"]  # They never ran side by side.
    assert second["at_s"] - first["at_s"] < TIMEOUT_S + ENDS_WITHIN_S + 0.75
    assert not is_alive(first["pid"])


def test_what_a_killed_step_has_started_ends_before_the_next_one_in_its_lane_begins(
    producer: Producer, latch: Latch
) -> None:
    run = producer.submit([latch.call("WriteDeafFamilyStep", timeout=TIMEOUT_S)])
    behind = producer.submit([{"name": "WriteJournalStep", "params": {"journal": latch.path, "label": "next"}}])
    assert run.gather(timeout=20).outcomes[0].status == "timed_out"
    assert behind.gather(timeout=20).ok
    (next_one,) = [line for line in latch.lines("began") if line.get("label") == "next"]
    pulses = latch.lines("pulse")
    assert pulses[-1]["at_s"] < next_one["at_s"]
    assert not is_alive(pulses[-1]["pid"])


def test_a_step_alone_that_is_killed_for_its_time_out_is_tried_again_where_it_says_so(
    producer: Producer, latch: Latch
) -> None:
    (outcome,) = producer.run([latch.call("GetDeafOnceAloneStep", timeout=TIMEOUT_S)], timeout=20).outcomes
    assert (outcome.status, outcome.value, outcome.attempts) == ("succeeded", 2, 2)
    assert max(line["at_s"] for line in latch.lines("pulse")) < latch.lines("began")[1]["at_s"]


def test_a_step_on_a_thread_is_tried_again_beside_its_zombie(producer: Producer, latch: Latch) -> None:
    (outcome,) = producer.run([latch.call("GetDeafOnceStep", timeout=TIMEOUT_S)], timeout=20).outcomes
    assert (outcome.status, outcome.value, outcome.attempts) == ("succeeded", 2, 2)
    pulses = len(latch.lines("pulse"))
    latch.wait_for("pulse", pulses + 5)


def _overrun(producer: Producer, latch: Latch, name: str) -> Outcome:
    """Run a step past its time-out; check what became of it and how soon."""
    started = time.monotonic()
    (outcome,) = producer.run([latch.call(name, timeout=TIMEOUT_S)], timeout=20).outcomes
    assert time.monotonic() - started >= TIMEOUT_S
    assert (outcome.status, outcome.attempts, outcome.value) == ("timed_out", 1, None)
    assert outcome.error is not None
    assert outcome.error.type == "StepTimeout"
    assert TIMEOUT_S * 1000 <= (outcome.ran_ms or 0) < (TIMEOUT_S + ENDS_WITHIN_S) * 1000
    return outcome


def _killed(producer: Producer, latch: Latch, name: str) -> Outcome:
    """Run a step that can only be killed, and one behind it in the same lane."""
    run = producer.submit([latch.call(name, timeout=TIMEOUT_S)])
    behind = producer.submit(["WriteEchoStep"])
    (begun,) = latch.wait_until_begun()
    assert is_alive(begun["pid"])
    assert begun["pid"] != os.getpid()
    (outcome,) = run.gather(timeout=20).outcomes
    took_s = time.monotonic() - begun["at_s"]
    assert (outcome.status, outcome.attempts) == ("timed_out", 1)
    # The parent looks after its children four times a second.
    assert took_s < TIMEOUT_S + ENDS_WITHIN_S + 0.75
    assert behind.gather(timeout=20).ok
    assert not is_alive(begun["pid"])
    return outcome
