"""Runs that end before their steps do: cancelled before and during, or past their deadline."""

import time
from collections.abc import Callable

import pytest

from producer import Producer
from producer.launcher.sessions import is_alive
from steps import Outcome, RunUnknown
from tests.support.latches import Journal, Latch
from tests.support.processes import wait_until
from tests.support.worker_sites import WorkerSite

SETTLED_BY_S = 5.0
"""After this time at latest, the running steps of a cancelled run have settled."""


def test_what_is_cancelled_before_it_began_never_begins(
    site: WorkerSite, producer: Producer, latch: Latch, journal: Journal
) -> None:
    holder = producer.submit([latch.call("WriteHeldStep")])
    latch.wait_until_begun()
    steps = [
        {"name": name, "params": {"journal": journal.path, "label": name}}
        for name in ("WriteJournalStep", "GetJournalStep")
    ]
    run = producer.submit(steps)
    run.cancel("not wanted any more")
    result = run.gather(timeout=20)
    assert [one.status for one in result.outcomes] == ["cancelled", "cancelled"]
    assert [one.attempts for one in result.outcomes] == [0, 0]
    assert {_error(one) for one in result.outcomes} == {("RunCancelled", "not wanted any more")}
    assert not site.is_settled(holder.id)  # The lane's holder goes on.
    latch.open()
    assert holder.gather(timeout=20).ok
    assert producer.run(["WriteEchoStep", "GetEchoStep"], timeout=20).ok  # Whatever was published before has come out.
    assert not journal.lines()


def test_what_runs_when_its_run_is_cancelled_is_stopped(producer: Producer, latches: Callable[[str], Latch]) -> None:
    blocking, awaited = latches("blocking"), latches("awaited")
    run = producer.submit(
        [blocking.call("GetHeldStep"), awaited.call("GetAwaitedStep"), awaited.call("GetAwaitedStep", id="waits")],
        max_concurrency=2,
    )
    blocking.wait_until_begun()
    awaited.wait_until_begun()
    cancelled_at = time.monotonic()
    run.cancel()
    result = run.gather(timeout=20)
    assert time.monotonic() - cancelled_at < SETTLED_BY_S
    assert [(one.status, one.attempts) for one in result.outcomes] == [
        ("cancelled", 1),
        ("cancelled", 1),
        ("cancelled", 0),
    ]
    assert {_error(one) for one in result.outcomes} == {("RunCancelled", "cancelled by its caller")}
    assert [one.worker is None for one in result.outcomes] == [False, False, True]
    blocking.wait_for("told to stop")
    awaited.wait_for("cancelled")


@pytest.mark.parametrize("name", ["WriteHeldStep", "WriteAwaitedStep"])
def test_a_critical_step_that_is_cancelled_is_stopped_and_frees_its_lane(
    producer: Producer, latch: Latch, name: str
) -> None:
    run = producer.submit([latch.call(name), "WriteEchoStep"])
    latch.wait_until_begun()
    behind = producer.submit(["WriteEchoStep"])
    cancelled_at = time.monotonic()
    run.cancel()
    result = run.gather(timeout=20)
    assert behind.gather(timeout=20).ok
    assert time.monotonic() - cancelled_at < SETTLED_BY_S
    assert [one.status for one in result.outcomes] == ["cancelled", "cancelled"]
    latch.wait_for("stopped softly" if name == "WriteHeldStep" else "cancelled")


def test_a_critical_step_that_ignores_its_cancelling_is_killed_and_frees_its_lane(
    producer: Producer, latch: Latch
) -> None:
    run = producer.submit([latch.call("WriteSwallowingStep")])
    (begun,) = latch.wait_until_begun()
    behind = producer.submit(["WriteEchoStep"])
    cancelled_at = time.monotonic()
    run.cancel("enough")
    (outcome,) = run.gather(timeout=20).outcomes
    assert behind.gather(timeout=20).ok
    assert time.monotonic() - cancelled_at < SETTLED_BY_S
    assert (outcome.status, outcome.attempts, _error(outcome)) == ("cancelled", 1, ("RunCancelled", "enough"))
    assert not is_alive(begun["pid"])


def test_cancelling_twice_and_after_the_end_changes_nothing(producer: Producer) -> None:
    run = producer.submit(["GetEchoStep"])
    assert run.gather(timeout=20).ok
    run.cancel()
    run.cancel()
    assert producer.attach(run.id).gather(timeout=20).ok


def test_cancelling_is_possible_from_a_run_that_was_attached_to(producer: Producer, latch: Latch) -> None:
    run = producer.submit([latch.call("GetAwaitedStep")])
    latch.wait_until_begun()
    producer.attach(run.id).cancel("from elsewhere")
    assert _error(run.gather(timeout=20).outcomes[0]) == ("RunCancelled", "from elsewhere")
    with pytest.raises(RunUnknown):
        producer.attach("0" * 28)


def test_the_deadline_ends_a_run(producer: Producer, latches: Callable[[str], Latch]) -> None:
    blocking, awaited = latches("blocking"), latches("awaited")
    run = producer.submit(
        [
            {"name": "GetEchoStep", "id": "in_time"},
            blocking.call("GetHeldStep", id="blocking"),
            awaited.call("GetAwaitedStep", id="awaited"),
            awaited.call("GetAwaitedStep", id="waits"),
        ],
        max_concurrency=2,
        deadline=0.6,
    )
    started = time.monotonic()
    result = run.gather(timeout=20)
    assert 0.3 < time.monotonic() - started < 0.6 + 2
    assert [(one.id, one.status, one.attempts) for one in result.outcomes] == [
        ("in_time", "succeeded", 1),
        ("blocking", "timed_out", 1),
        ("awaited", "timed_out", 1),
        ("waits", "timed_out", 0),
    ]
    assert all(_error(one)[0] == "DeadlineExceeded" for one in result.outcomes[1:])
    blocking.wait_for("told to stop")
    awaited.wait_for("cancelled")


def test_the_deadline_ends_a_critical_run_and_frees_its_lane(
    site: WorkerSite, producer: Producer, latch: Latch, journal: Journal
) -> None:
    after = {"name": "WriteJournalStep", "params": {"journal": journal.path, "label": "never"}}
    run = producer.submit([latch.call("WriteHeldStep"), after, "GetEchoStep"], deadline=0.5)
    result = run.gather(timeout=20)
    # The step that ended at the deadline may have skipped the one behind it before the deadline was noticed.
    assert [one.status for one in result.outcomes[::2]] == ["timed_out"] * 2
    assert result.outcomes[1].status in {"timed_out", "skipped"}
    assert [one.attempts for one in result.outcomes] == [1, 0, 0]
    assert producer.run(["WriteEchoStep"], timeout=20).ok
    assert not journal.lines()
    wait_until(lambda: not site.claims())


def _error(outcome: Outcome) -> tuple[str, str]:
    assert outcome.error is not None
    return outcome.error.type, outcome.error.message
