"""The completion body: run once, when everything has settled, with all outcomes, whatever became of them."""

import pytest

from producer import Producer
from tests.support.latches import Journal, Latch
from tests.support.processes import wait_until
from tests.support.worker_sites import WorkerSite

BODIES = pytest.mark.parametrize("body", ["ReadOutcomesStep", "WriteOutcomesStep"])


@BODIES
def test_the_completion_body_runs_once_with_all_outcomes_also_when_a_part_failed(
    site: WorkerSite, producer: Producer, journal: Journal, body: str
) -> None:
    steps = [
        {"name": "GetEchoStep", "params": {"value": [1, None]}},
        {"name": "GetFailureStep"},
        {"name": "WriteFailureStep"},
        {"name": "WriteEchoStep", "id": "skipped"},
    ]
    run = producer.submit(steps, then={"name": body, "params": {"journal": journal.path}})
    result = run.gather(timeout=20)
    wait_until(lambda: site.is_closed(run.id))
    (line,) = journal.lines()
    assert [one["status"] for one in line["outcomes"]] == ["succeeded", "failed", "failed", "skipped"]
    assert line["outcomes"] == [one.as_dict() for one in result.outcomes]
    assert (line["effect_key"], line["attempt"]) == (run.id, 1)


@BODIES
def test_the_completion_body_waits_for_the_last_step(
    site: WorkerSite, producer: Producer, journal: Journal, latch: Latch, body: str
) -> None:
    run = producer.submit(
        [latch.call("GetHeldStep", id=f"held_{number}") for number in range(3)] + ["WriteEchoStep"],
        then={"name": body, "params": {"journal": journal.path}},
    )
    latch.wait_until_begun(3)
    assert not journal.lines()
    latch.open()
    assert run.gather(timeout=20).ok
    (line,) = journal.wait_for("body")
    assert [one["id"] for one in line["outcomes"]] == ["held_0", "held_1", "held_2", "WriteEchoStep"]
    wait_until(lambda: site.is_closed(run.id))
    assert len(journal.lines()) == 1


def test_an_empty_batch_settles_at_once_and_has_its_completion_body(producer: Producer, journal: Journal) -> None:
    run = producer.submit([], then={"name": "ReadOutcomesStep", "params": {"journal": journal.path}})
    result = run.gather(timeout=20)
    assert result.ok
    assert result.outcomes == ()
    (line,) = journal.wait_for("body")
    assert line["outcomes"] == []


def test_a_completion_body_that_fails_changes_no_outcome(site: WorkerSite, producer: Producer) -> None:
    run = producer.submit(["GetEchoStep"], then="GetFailureStep")
    assert run.gather(timeout=20).ok
    wait_until(lambda: site.is_closed(run.id))
    assert producer.attach(run.id).gather(timeout=20).ok
