"""How long a plan is expected to take."""

from collections.abc import Mapping
from typing import Any

import pytest

from producer.planning.expectation import expected_ms
from producer.site_statistics import UNKNOWN_STEP_MS, expected_step_ms
from tests.support.plans import plan

TIMES_MS = {"GetStep": 100.0, "PatientStep": 300.0, "CreateStep": 1_000.0, "UpsertStep": 50.0}


def expected(steps: list[Any], times_ms: Mapping[str, float] = TIMES_MS, **options: Any) -> float:
    return expected_ms(plan(steps, **options), lambda name: times_ms[name])


def test_nothing_takes_no_time() -> None:
    assert expected([]) == 0.0


def test_critical_steps_take_the_sum_of_their_times() -> None:
    assert expected(["CreateStep", "UpsertStep", "CreateStep"]) == 2_050.0


def test_lanes_of_one_run_add_up_as_it_goes_through_them_in_order() -> None:
    calls = [{"name": "CreateStep", "lane": "a"}, {"name": "CreateStep", "lane": "b"}]
    assert expected(calls) == 2_000.0


def test_steps_side_by_side_take_the_time_of_the_longest() -> None:
    assert expected(["GetStep", "PatientStep", "GetStep"]) == 300.0


def test_the_reads_come_after_the_writes_or_beside_them() -> None:
    steps = ["CreateStep", "PatientStep"]
    assert expected(steps, order="critical_first") == 1_300.0
    assert expected(steps, order="overlap") == 1_000.0
    assert expected(["UpsertStep", "PatientStep"], order="overlap") == 300.0


@pytest.mark.parametrize(("at_once", "ms"), [(1, 600.0), (2, 400.0), (3, 400.0), (10, 300.0)])
def test_no_more_run_at_once_than_may(at_once: int, ms: float) -> None:
    # They begin in input order, the longest last.
    assert expected(["GetStep", "GetStep", "GetStep", "PatientStep"], max_concurrency=at_once) == ms


def test_a_forced_order_makes_all_of_them_take_their_turns() -> None:
    assert expected(["GetStep", "PatientStep"], mode="sequential") == 400.0


def test_a_step_takes_what_half_of_its_attempts_did_not_exceed() -> None:
    assert expected_step_ms({"succeeded": 3, "us": 3_000, "b40": 3}) == pytest.approx(1.1, rel=0.1)


@pytest.mark.parametrize("counts", [{}, {"skipped": 2}, {"cancelled": 1, "us": 0}])
def test_a_step_that_never_ran_is_expected_to_take_thirty_seconds(counts: dict[str, int]) -> None:
    assert expected_step_ms(counts) == UNKNOWN_STEP_MS == 30_000.0
