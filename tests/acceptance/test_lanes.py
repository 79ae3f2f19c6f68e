"""Critical steps on two critical workers: never two at once in a lane, lanes by key beside each other."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from producer import Producer, Run
from steps.ledger.records import Ready
from tests.support.latches import Journal, Latch
from tests.support.processes import wait_until
from tests.support.worker_sites import WorkerSite


def test_critical_steps_never_overlap_in_a_lane_with_several_critical_workers(
    site: WorkerSite, producer: Producer, journal: Journal
) -> None:
    def submit(run: int) -> Run:
        return producer.submit([_write(journal, f"{run}.{number}") for number in range(4)])

    with ThreadPoolExecutor(8) as threads:
        runs = list(threads.map(submit, range(12)))
    results = [run.gather(timeout=30) for run in runs]
    assert all(result.ok for result in results)
    intervals = journal.intervals()
    assert len(intervals) == 12 * 4
    in_order = sorted(intervals, key=lambda label: intervals[label])
    assert all(intervals[first][1] <= intervals[second][0] for first, second in pairwise(in_order))
    # Within a run in its order, and no other run in between.
    assert [label.split(".")[1] for label in in_order] == ["0", "1", "2", "3"] * 12
    assert all(len({label.split(".")[0] for label in in_order[at : at + 4]}) == 1 for at in range(0, 48, 4))
    assert len({line["pid"] for line in journal.lines()}) == 2  # Both workers had a part in it.


def test_runs_start_in_a_lane_in_the_order_they_were_accepted(
    producer: Producer, journal: Journal, latch: Latch
) -> None:
    head = producer.submit([latch.call("WriteHeldStep")])
    latch.wait_until_begun()
    behind = [producer.submit([_write(journal, str(number))]) for number in range(10)]
    latch.open()
    assert all(run.gather(timeout=20).ok for run in (head, *behind))
    assert [line["label"] for line in journal.lines("began")] == [str(number) for number in range(10)]


def test_lanes_by_key_run_beside_each_other(producer: Producer, latches: Callable[[str], Latch]) -> None:
    latch = latches("sessions")
    runs = [
        producer.submit([latch.call("WriteHeldSessionStep")], context={"session_id": session}) for session in ("1", "2")
    ]
    latch.wait_until_begun(2)  # Neither was let go: both run at once.
    latch.open()
    results = [run.gather(timeout=20) for run in runs]
    assert [result.outcomes[0].lane for result in results] == ["session:1", "session:2"]
    assert [result.outcomes[0].value for result in results] == ["1 let go", "2 let go"]
    assert results[0].outcomes[0].worker != results[1].outcomes[0].worker


def test_a_held_lane_holds_up_no_other(producer: Producer, journal: Journal, latch: Latch) -> None:
    held = producer.submit([latch.call("WriteHeldSessionStep")], context={"session_id": "1"})
    latch.wait_until_begun()
    behind = producer.submit([_session(journal, "1")])
    others = [producer.run([_session(journal, session)], timeout=20) for session in ("2", "3", "4")]
    assert all(result.ok for result in others)
    assert [line["label"] for line in journal.lines("ended")] == ["2", "3", "4"]
    latch.open()
    assert held.gather(timeout=20).ok
    assert behind.gather(timeout=20).ok


@pytest.mark.parametrize(("name", "queue"), [("WriteHeldStep", "critical"), ("GetHeldStep", "parallel")])
def test_the_same_message_many_times_starts_nothing_twice(
    site: WorkerSite, producer: Producer, latch: Latch, name: str, queue: str
) -> None:
    run = producer.submit([latch.call(name)])
    latch.wait_until_begun()
    copies = Ready(run.id, 0, queue, 10)
    publisher = producer._connections.publisher
    assert publisher.publish([copies])
    wait_until(lambda: publisher.depth(queue) == 0)
    latch.open()
    assert publisher.publish([copies])
    assert run.gather(timeout=20).ok
    assert publisher.publish([copies])
    wait_until(lambda: publisher.depth(queue) == 0)
    assert producer.run(["WriteEchoStep", "GetEchoStep"], timeout=20).ok
    assert len(latch.lines()) == 1
    assert [event["step"] for event in site.events(run.id) if event.get("status")] == ["0"]


def test_a_message_that_comes_before_its_runs_turn_starts_nothing(
    producer: Producer, latch: Latch, journal: Journal
) -> None:
    head = producer.submit([latch.call("WriteHeldStep")])
    latch.wait_until_begun()
    behind = producer.submit([_write(journal, "behind")])
    assert producer._connections.publisher.publish([Ready(behind.id, 0, "critical", 4)])
    # The other critical worker has taken them when it has run what was published after them.
    assert producer.run([_session(journal, "1")], timeout=20).ok
    assert [line["label"] for line in journal.lines("began")] == ["1"]
    latch.open()
    assert head.gather(timeout=20).ok
    assert behind.gather(timeout=20).ok
    assert list(journal.intervals()) == ["1", "behind"]


def test_a_batch_over_several_lanes_keeps_its_order(producer: Producer, journal: Journal) -> None:
    sessions = ["1", "1", "2", "3", "1", "2"]
    result = producer.run(
        [_session(journal, session, label=f"{number}") for number, session in enumerate(sessions)], timeout=20
    )
    assert result.ok
    assert [one.lane for one in result.outcomes] == [f"session:{session}" for session in sessions]
    intervals = journal.intervals()
    assert list(intervals) == [str(number) for number in range(6)]
    assert all(first[1] <= second[0] for first, second in pairwise(intervals.values()))


def test_batches_that_cross_each_others_lanes_all_end(producer: Producer, journal: Journal) -> None:
    def crossing(run: int) -> Run:
        sessions = ("1", "2") if run % 2 else ("2", "1")
        steps = [_session(journal, session, label=f"{run}.{session}", seconds=0.005) for session in sessions]
        return producer.submit(steps)

    with ThreadPoolExecutor(8) as threads:
        runs = list(threads.map(crossing, range(16)))
    assert all(run.gather(timeout=30).ok for run in runs)
    for session in ("1", "2"):
        lane = sorted(span for label, span in journal.intervals().items() if label.endswith(session))
        assert all(first[1] <= second[0] for first, second in pairwise(lane))


def _write(journal: Journal, label: str) -> dict[str, object]:
    return {"name": "WriteJournalStep", "params": {"journal": journal.path, "label": label, "seconds": 0.005}}


def _session(journal: Journal, session: str, *, label: str = "", seconds: float = 0.01) -> dict[str, object]:
    params = {"journal": journal.path, "label": label or session, "session_id": session, "seconds": seconds}
    return {"name": "WriteSessionStep", "params": params}
