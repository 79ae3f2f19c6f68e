"""From a plan to the run that the ledger opens."""

import time

from producer.open_run import new_run_id, to_open
from steps.call import StepCall
from steps.ledger.records import ParcelRange
from tests.support.plans import plan


def test_run_ids_carry_their_time_and_never_repeat() -> None:
    before_ms = time.time_ns() // 1_000_000
    ids = [new_run_id() for _ in range(100)]
    after_ms = time.time_ns() // 1_000_000
    assert {len(run_id) for run_id in ids} == {28}
    assert all(before_ms <= int(run_id[:12], 16) <= after_ms for run_id in ids)
    assert len(set(ids)) == 100


def test_steps_come_in_ledger_order_with_parcels_that_cover_them() -> None:
    steps = ["GetStep", "CreateStep", {"name": "RetitleStep", "params": {"title": "a"}}, "CreateStep", "GetStep"]
    run = to_open(plan(steps, deadline=9, max_concurrency=3), "r")
    assert [StepCall.decode(call).id for call in run.calls] == [
        "CreateStep",
        "RetitleStep",
        "CreateStep_2",
        "GetStep",
        "GetStep_2",
    ]
    assert run.parcels == (
        ParcelRange("critical", "global", 0, 0),
        ParcelRange("critical", "title:a", 1, 1),
        ParcelRange("critical", "global", 2, 2),
        ParcelRange("parallel", "", 3, 4),
    )
    assert (run.run_id, run.critical_count, run.critical_parcels) == ("r", 3, 3)
    assert (run.deadline_s, run.max_concurrency, run.has_body) == (9, 3, False)


def test_order_and_strategy_are_taken_over() -> None:
    usual, other = to_open(plan(["GetStep"]), "r"), to_open(plan(["GetStep"], order="overlap", strategy="simple"), "r")
    assert (usual.critical_first, usual.stops_at_failure) == (True, True)
    assert (other.critical_first, other.stops_at_failure) == (False, False)


def test_the_completion_body_is_a_parcel_of_its_own_at_the_end() -> None:
    run = to_open(plan(["GetStep", "GetStep"], then="CreateStep"), "r")
    assert run.has_body
    assert StepCall.decode(run.calls[-1]).name == "CreateStep"
    assert run.parcels == (ParcelRange("parallel", "", 0, 1), ParcelRange("critical", "global", 2, 2))
    assert (run.critical_count, run.critical_parcels) == (0, 0)


def test_an_empty_batch_is_an_empty_run() -> None:
    run = to_open(plan([]), "r")
    assert (run.calls, run.parcels, run.critical_count) == ((), (), 0)
