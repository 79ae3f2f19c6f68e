"""From a plan to the run that the ledger opens."""

import time

from producer.open_run import new_run_id, to_open
from steps.call import StepCall
from steps.definition import StepFacts
from steps.ledger.records import ParcelRange, SiteLimits
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


def test_name_priority_and_the_runs_before_it_are_taken_over() -> None:
    run = to_open(plan(["GetStep", "CreateStep"], name="view", priority="high", after=["a", "b"]), "r")
    assert (run.name, run.mode, run.priority, run.after) == ("view", "hybrid", 16, ("a", "b"))
    usual = to_open(plan(["GetStep"]), "r")
    assert (usual.name, usual.mode, usual.priority, usual.after) == ("", "parallel", 1, ())


def test_the_decisions_are_counted_by_rule_without_the_body() -> None:
    steps = ["GetStep", "CreateStep", "UpsertStep", {"name": "GetStep", "critical": True}]
    assert to_open(plan(steps, then="GetStep"), "r").rules == {"pattern": 2, "decorator": 1, "call": 1}


def test_limits_go_by_ledger_index_and_the_body_has_its_own() -> None:
    facts = {
        "GetStep": StepFacts("GetStep", critical=False, max_running=2),
        "CreateStep": StepFacts("CreateStep", critical=True),
        "SlowStep": StepFacts("SlowStep", critical=True, rate="90/m"),
    }
    run = to_open(plan(["GetStep", "CreateStep", "SlowStep", "GetStep"], facts=facts, then="SlowStep"), "r")
    few, slow = SiteLimits("GetStep", max_running=2), SiteLimits("SlowStep", starts=90, within_s=60.0)
    assert run.limits == {1: slow, 2: few, 3: few, 4: slow}
    assert to_open(plan(["CreateStep"]), "r").limits == {}


def test_an_empty_batch_is_an_empty_run() -> None:
    run = to_open(plan([]), "r")
    assert (run.calls, run.parcels, run.critical_count) == ((), (), 0)
