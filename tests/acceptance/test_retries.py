"""Failures that are tried again: how often, after which waits, on which side."""

from itertools import pairwise

import pytest

from producer import Producer
from tests.support.latches import Journal

TOLERANCE_S = 1.0
"""How much later than due an attempt may start on a machine that has other things to do."""

CLOCK_S = 0.01
"""How much earlier a wait may seem to end: Redis and the steps read different clocks."""


@pytest.mark.parametrize(
    ("name", "least_waits_s"),
    [
        ("GetFixedStep", (0.1, 0.1)),
        ("GetLinearStep", (0.1, 0.2)),
        ("GetExponentialStep", (0.1, 0.2)),
        ("GetRandomStep", (0.0, 0.0)),
        ("WriteLinearStep", (0.1, 0.2)),
    ],
)
def test_a_failing_step_is_tried_again_after_the_waits_of_its_backoff(
    producer: Producer, journal: Journal, name: str, least_waits_s: tuple[float, float]
) -> None:
    (outcome,) = producer.run([_failing(name, journal)], timeout=20).outcomes
    assert (outcome.status, outcome.value, outcome.attempts) == ("succeeded", 3, 3)
    lines = journal.lines("began")
    assert [line["attempt"] for line in lines] == [1, 2, 3]
    waits = [second["at_s"] - first["at_s"] for first, second in pairwise(lines)]
    for wait_s, least_s in zip(waits, least_waits_s, strict=True):
        assert least_s - CLOCK_S <= wait_s < least_s + 0.2 + TOLERANCE_S
    assert len({line["effect_key"] for line in lines}) == 1
    fences = [line["fence"] for line in lines]
    assert fences == sorted(set(fences))


def test_a_step_that_fails_every_time_settles_failed_with_its_last_error(producer: Producer, journal: Journal) -> None:
    (outcome,) = producer.run([_failing("GetFixedStep", journal, succeeds_at=9)], timeout=20).outcomes
    assert (outcome.status, outcome.attempts) == ("failed", 3)
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("ConnectionError", "attempt 3")
    assert len(journal.lines()) == 3


def test_the_call_may_say_how_often(producer: Producer, journal: Journal) -> None:
    (outcome,) = producer.run([{**_failing("GetFixedStep", journal), "retries": 0}], timeout=20).outcomes
    assert (outcome.status, outcome.attempts) == ("failed", 1)


def test_a_retry_that_cannot_fit_in_the_runs_time_is_not_begun(producer: Producer, journal: Journal) -> None:
    call = {**_failing("GetLinearStep", journal, succeeds_at=9), "retries": 100}
    (outcome,) = producer.run([call], deadline=0.5, timeout=20).outcomes
    assert outcome.status == "failed"
    assert outcome.error is not None
    assert "not_retried" in outcome.error.details
    assert len(journal.lines()) == outcome.attempts


def test_others_go_on_while_a_step_waits_for_its_retry(producer: Producer, journal: Journal) -> None:
    steps = [_failing("GetFixedStep", journal), *(["GetEchoStep"] * 5)]
    result = producer.run(steps, max_concurrency=1, timeout=20)
    assert result.ok
    assert [one.attempts for one in result.outcomes] == [3, 1, 1, 1, 1, 1]
    last_failing_ms = result.outcomes[0].started_ms or 0
    assert all((one.started_ms or 0) < last_failing_ms for one in result.outcomes[1:])


def test_a_critical_step_keeps_its_lane_while_it_waits_for_its_retry(
    producer: Producer, journal: Journal, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = producer.submit([_failing("WriteLinearStep", journal)])
    journal.wait_for("began")
    behind = producer.submit([{"name": "WriteJournalStep", "params": {"journal": journal.path, "label": "behind"}}])
    assert run.gather(timeout=20).ok
    assert behind.gather(timeout=20).ok
    assert ["attempt" in line for line in journal.lines("began")] == [True, True, True, False]


def test_a_critical_step_is_not_tried_again_unless_it_is_idempotent(producer: Producer) -> None:
    (outcome,) = producer.run(["WriteFailureStep"], timeout=20).outcomes
    assert (outcome.status, outcome.attempts) == ("failed", 1)


def _failing(name: str, journal: Journal, **params: object) -> dict[str, object]:
    return {"name": name, "params": {"journal": journal.path, **params}}
