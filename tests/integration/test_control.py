"""What a caller may do to runs and queues beside submitting, on a real Redis without workers."""

from collections.abc import Iterator
from typing import Any

import pytest

from config.errors import SettingsError
from producer import Producer, Run
from producer.run_meta import RunMeta
from steps import InvalidBatch, RunUnknown, step
from steps.call import StepCall
from steps.ledger.records import Beat, Claimed, StepFate
from steps.registry import StepRegistry
from tests.support.ledgers import FAILED, OK
from tests.support.real_redis import RealSite

WORKER = "w"
MANY = 1_200
"""More steps than two calls may touch."""


@pytest.fixture(autouse=True)
def _steps() -> Iterator[None]:
    with StepRegistry().isolated():

        @step(critical=False)
        def GetStep(value: int = 0) -> None: ...

        @step(critical=True)
        def WriteStep(value: int = 0) -> None: ...

        @step(critical=True, lane="session:{session_id}")
        def WriteSessionStep(session_id: str) -> None: ...

        yield


@pytest.fixture
def producer(real: RealSite) -> Iterator[Producer]:
    for queue in ("critical", "parallel"):
        real.ledger.tick(Beat(WORKER, "join", queue))
    with Producer(real.settings, real.url) as producer:
        yield producer


def claim(real: RealSite, run: Run, parcel: int = 0, want: int = 1) -> Claimed:
    claimed = real.ledger.claim(run.id, parcel, worker=WORKER, want=want, with_meta=False)
    assert claimed is not None
    return claimed


def settle(real: RealSite, run: Run, claimed: Claimed, *, parcel: int = 0, status: str = "succeeded") -> None:
    payload = OK if status == "succeeded" else FAILED
    fates = [StepFate(one.index, one.fence, "S", status, payload) for one in claimed.steps]
    settled = real.ledger.settle(run.id, parcel, fates, worker=WORKER)
    assert all(settled.accepted)
    real.ledger.finish(settled.unfinished)


def do(real: RealSite, run: Run, parcel: int = 0, *, want: int = 1, status: str = "succeeded") -> None:
    settle(real, run, claim(real, run, parcel, want), parcel=parcel, status=status)


def plan_of(real: RealSite, run: Run) -> RunMeta:
    return RunMeta.decode(real.ledger.read(run.id).meta)


def calls_of(real: RealSite, run: Run) -> dict[str, StepCall]:
    """Return the calls of a run by id, the completion body's too."""
    meta = plan_of(real, run)
    texts = real.ledger.calls(run.id, run.total_steps + (meta.then is not None))
    return {call.id: call for call in map(StepCall.decode, texts)}


def deadline_s(real: RealSite, run: Run) -> float:
    (facts,) = real.ledger.status([run.id])
    assert facts is not None
    return (int(facts.plain["deadline"]) - int(facts.plain["began"])) / 1_000_000


def has_nothing_pending(real: RealSite, queue: str) -> bool:
    (facts,) = real.ledger.site.queues([queue])
    return (facts.pending, facts.oldest_ms) == (0, None)


# retry -----------------------------------------------------------------------------------------------------------


def test_a_retry_is_a_run_of_what_did_not_succeed_and_keeps_all_that_was_said(
    real: RealSite, producer: Producer
) -> None:
    calls = [
        {"name": "WriteStep", "id": "done", "params": {"value": 1}},
        {"name": "WriteStep", "id": "broken", "params": {"value": 2}, "timeout": 7, "retries": 3},
        {"name": "WriteSessionStep", "id": "skipped"},
        {"name": "GetStep", "id": "as_write", "critical": True, "lane": "a{{b}}:{session_id}"},
        {"name": "WriteStep", "id": "as_read", "critical": False, "params": {"value": 5}},
    ]
    run = producer.submit(
        calls, context={"session_id": "4{2}"}, deadline=77.5, order="overlap", strategy="basic", max_concurrency=3,
        name="view 42", priority="high", then={"name": "WriteStep", "id": "body", "params": {"value": 9}},
    )  # fmt: skip
    do(real, run)
    do(real, run, status="failed")
    run.cancel()
    again = producer.retry(run.id)
    was, now = plan_of(real, run), plan_of(real, again)
    assert [one.id for one in now.steps] == ["broken", "skipped", "as_write", "as_read"]
    kept = {one.id: (one.name, one.critical, one.queue, one.lane) for one in was.steps}
    assert {one.id: (one.name, one.critical, one.queue, one.lane) for one in now.steps} == {
        step_id: kept[step_id] for step_id in kept if step_id != "done"
    }
    assert kept["as_write"][3] == "a{b}:4{2}"
    assert kept["skipped"][3] == "session:4{2}"
    old_calls, new_calls = calls_of(real, run), calls_of(real, again)
    assert new_calls == {step_id: old_calls[step_id] for step_id in old_calls if step_id != "done"}
    assert (now.context, now.order, now.strategy, now.mode) == (was.context, was.order, was.strategy, "hybrid")
    assert now.then is not None
    assert was.then is not None
    assert (now.then.id, now.then.critical, now.then.lane) == (was.then.id, was.then.critical, was.then.lane)
    status = again.status()
    assert (status.name, status.priority, status.state) == ("view 42", 16, "queued")
    assert deadline_s(real, again) == deadline_s(real, run) == 77.5


def test_a_retry_waits_for_no_other_run_and_may_be_tried_again(real: RealSite, producer: Producer) -> None:
    leader = producer.submit(["GetStep"])
    run = producer.submit(["GetStep"], after=[leader.id])
    leader.cancel()
    run.cancel()
    leader_of_none = producer.retry(run.id)
    leader_of_none.cancel()
    assert (leader_of_none.status().after, producer.retry(leader_of_none.id).status().state) == ((), "queued")


def test_a_retry_of_a_forced_order_is_forced_into_the_same_lane(real: RealSite, producer: Producer) -> None:
    run = producer.submit(["GetStep", "GetStep", "GetStep"], mode="sequential", lane="mine{{1}}", then="GetStep")
    do(real, run)
    run.cancel()
    now = plan_of(real, producer.retry(run.id))
    assert [(one.critical, one.queue, one.lane) for one in now.steps] == [(False, "critical", "mine{1}")] * 2
    assert now.mode == "sequential"
    assert now.then is not None
    assert now.then.lane == "mine{1}"


def test_a_retry_of_writes_alone_forces_nothing_on_the_body(real: RealSite, producer: Producer) -> None:
    run = producer.submit(["WriteStep", "WriteStep"], then="GetStep")
    run.cancel()
    now = plan_of(real, producer.retry(run.id))
    assert now.then is not None
    assert (now.mode, now.then.queue, now.then.lane) == ("sequential", "parallel", None)


def test_a_large_run_is_tried_again_in_its_order(real: RealSite, producer: Producer) -> None:
    calls: list[Any] = [
        {"name": "WriteStep" if number % 3 else "GetStep", "id": f"s{number}", "params": {"value": number}}
        for number in range(MANY)
    ]
    run = producer.submit(calls, order="overlap", max_concurrency=1_000)
    do(real, run, 1, want=7)
    do(real, run)
    run.cancel()
    done = {f"s{number}" for number in (0, 3, 6, 9, 12, 15, 18, 1)}
    again = producer.retry(run.id)
    assert again.total_steps == MANY - len(done)
    assert [one.id for one in plan_of(real, again).steps] == [one["id"] for one in calls if one["id"] not in done]
    assert all(call.params == {"value": int(step_id[1:])} for step_id, call in calls_of(real, again).items())


def test_what_can_not_be_tried_again_is_refused_with_the_reason(real: RealSite, producer: Producer) -> None:
    run = producer.submit(["GetStep"])
    with pytest.raises(InvalidBatch, match=f"{run.id} has not settled yet; wait for it, or cancel it first"):
        producer.retry(run.id)
    do(real, run)
    with pytest.raises(InvalidBatch, match="nothing to try again: every step of it succeeded"):
        producer.retry(run.id)
    with pytest.raises(InvalidBatch, match="nothing to try again"):
        producer.retry(producer.submit([]).id)
    with pytest.raises(RunUnknown):
        producer.retry("never-was")
    producer.purge()
    with pytest.raises(RunUnknown):
        producer.retry(run.id)


def test_a_run_whose_body_still_runs_may_be_tried_again(real: RealSite, producer: Producer) -> None:
    run = producer.submit(["GetStep"], then="GetStep")
    do(real, run, status="failed")
    claim(real, run, 1)
    assert producer.retry(run.id).total_steps == 1


# clear a queue ---------------------------------------------------------------------------------------------------


def test_a_cleared_queue_holds_nothing_but_what_runs(real: RealSite, producer: Producer) -> None:
    runs = [producer.submit(["GetStep"] * 3 + ["WriteStep"], order="overlap") for _ in range(4)]
    running = claim(real, runs[0], 1)
    assert producer.clear_queue("parallel") == 11
    parallel = producer.queues().queues[1]
    assert parallel.length + parallel.running == 1
    assert producer.queues().queues[0].length == 4  # the other queue's
    settle(real, runs[0], running, parcel=1)
    for run in runs:
        do(real, run)
    results = [run.gather(timeout=5) for run in runs]
    assert [one.status for one in results[0].outcomes] == ["succeeded", "cancelled", "cancelled", "succeeded"]
    assert [one.status for one in results[1].outcomes] == ["cancelled"] * 3 + ["succeeded"]
    error = results[1].outcomes[0].error
    assert error is not None
    assert (error.type, error.message) == ("StepCancelled", "the queue was cleared")
    assert has_nothing_pending(real, "parallel")
    assert has_nothing_pending(real, "critical")


def test_messages_of_what_was_cleared_start_nothing(real: RealSite, producer: Producer) -> None:
    run = producer.submit(["GetStep", "GetStep"])
    assert real.messages("parallel") == 1
    producer.clear_queue("parallel")
    assert claim(real, run).steps == ()
    assert real.ledger.tick(Beat(WORKER, "beat", "parallel")).maybe_lost == ()


def test_clearing_again_finds_nothing(producer: Producer) -> None:
    producer.submit(["GetStep"])
    assert [producer.clear_queue("parallel") for _ in range(3)] == [1, 0, 0]


def test_many_runs_are_cleared_those_with_running_steps_at_the_head_too(real: RealSite, producer: Producer) -> None:
    held = [producer.submit(["GetStep"]) for _ in range(120)]
    for run in held:
        claim(real, run)
    others = [producer.submit(["GetStep", "GetStep"]) for _ in range(130)]
    assert producer.clear_queue("parallel") == 260
    assert all(run.status().state == "completed" for run in others)
    assert all(run.status().state == "running" for run in held)


@pytest.mark.parametrize(
    ("name", "queue"),
    [
        ("GetStep", "parallel"),
        ("WriteStep", "critical"),
    ],
)
def test_a_large_run_is_cleared_to_its_last_step(real: RealSite, producer: Producer, name: str, queue: str) -> None:
    run = producer.submit([name] * MANY)
    running = claim(real, run)
    assert producer.clear_queue(queue) == MANY - 1
    settle(real, run, running)
    counts = run.status().counts
    assert (counts["succeeded"], counts["cancelled"], counts["pending"]) == (1, MANY - 1, 0)
    assert run.status().state == "completed"
    assert has_nothing_pending(real, queue)


def test_a_lane_that_was_cleared_is_free(real: RealSite, producer: Producer) -> None:
    producer.submit(["WriteStep", "WriteStep"])
    producer.submit(["WriteStep"])
    assert producer.clear_queue("critical") == 3
    assert producer.queues().lanes == ()
    run = producer.submit(["WriteStep"])
    do(real, run)
    assert run.gather(timeout=5).ok


def test_a_run_that_waits_for_another_is_cleared_too_and_ends_with_its_turn(real: RealSite, producer: Producer) -> None:
    leader = producer.submit(["WriteStep"])
    run = producer.submit(["GetStep"], after=[leader.id])
    assert producer.clear_queue("parallel") == 1
    do(real, leader)
    assert [one.status for one in run.gather(timeout=5).outcomes] == ["cancelled"]


def test_a_queue_that_is_not_there_is_refused_naming_those_that_are(producer: Producer) -> None:
    with pytest.raises(SettingsError, match="no queue is named 'paralel'; the queues are critical, parallel"):
        producer.clear_queue("paralel")


# cancel one step -------------------------------------------------------------------------------------------------


def test_a_step_that_waits_is_cancelled_and_never_starts(real: RealSite, producer: Producer) -> None:
    run = producer.submit(["GetStep", "GetStep", "GetStep"])
    run.cancel_step("GetStep_2", "not this one")
    claimed = claim(real, run, want=3)
    assert [one.index for one in claimed.steps] == [0, 2]
    settle(real, run, claimed)
    outcome = run.gather(timeout=5)["GetStep_2"]
    assert (outcome.status, outcome.attempts) == ("cancelled", 0)
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("StepCancelled", "not this one")


def test_a_step_is_found_by_its_id_wherever_it_stands_in_the_ledger(real: RealSite, producer: Producer) -> None:
    run = producer.submit(["GetStep", "WriteStep", {"name": "GetStep", "id": "mine"}, "WriteStep"], order="overlap")
    run.cancel_step("mine")
    assert run.status().counts["cancelled"] == 1
    assert [one.index for one in claim(real, run, 1, want=3).steps] == [2]


def test_a_critical_step_that_is_cancelled_did_not_succeed_for_those_behind_it(
    real: RealSite, producer: Producer
) -> None:
    run = producer.submit(["WriteStep", "WriteStep", "WriteStep", "GetStep"])
    run.cancel_step("WriteStep_2")
    do(real, run)
    do(real, run, 1)
    statuses = [one.status for one in run.gather(timeout=5).outcomes]
    assert statuses == ["succeeded", "cancelled", "skipped", "succeeded"]


def test_any_process_may_cancel_a_step(real: RealSite, producer: Producer) -> None:
    run = producer.submit(["GetStep", "GetStep"])
    with Producer(real.settings, real.url) as other:
        other.attach(run.id).cancel_step("GetStep_2")
    do(real, run)
    assert [one.status for one in run.gather(timeout=5).outcomes] == ["succeeded", "cancelled"]


@pytest.mark.parametrize("step_id", ["", "nope", "GetStep_3", "body"])
def test_a_step_that_the_run_does_not_have_is_refused(producer: Producer, step_id: str) -> None:
    run = producer.submit(["GetStep", "GetStep"], then={"name": "GetStep", "id": "body"})
    with pytest.raises(InvalidBatch, match=f"is no step of run {run.id}"):
        run.cancel_step(step_id)


def test_a_settled_outcome_stays_as_it_is(real: RealSite, producer: Producer) -> None:
    run = producer.submit(["GetStep", "GetStep"])
    do(real, run)
    run.cancel_step("GetStep")
    do(real, run)
    run.cancel_step("GetStep")
    run.cancel_step("GetStep_2")
    assert run.gather(timeout=5).ok


def test_a_step_of_a_run_that_was_forgotten_is_unknown(real: RealSite, producer: Producer) -> None:
    run = producer.submit(["GetStep"])
    do(real, run)
    producer.purge()
    with pytest.raises(RunUnknown):
        run.cancel_step("GetStep")


def test_a_run_is_cancelled_by_its_id_alone(producer: Producer) -> None:
    run = producer.submit(["GetStep", "WriteStep"])
    producer.cancel(run.id, "nobody waits")
    outcomes = run.gather(timeout=5).outcomes
    assert [(one.status, one.error and one.error.message) for one in outcomes] == [("cancelled", "nobody waits")] * 2
    producer.cancel(run.id)
    with pytest.raises(RunUnknown):
        producer.cancel("never-was")


# purge -----------------------------------------------------------------------------------------------------------


def test_what_has_settled_is_forgotten_and_what_is_open_is_kept(real: RealSite, producer: Producer) -> None:
    settled = [producer.submit(["GetStep"]) for _ in range(120)]
    for run in settled:
        do(real, run)
    is_open = producer.submit(["GetStep"])
    with_body = producer.submit(["GetStep"], then="GetStep")
    do(real, with_body)
    assert producer.purge() == 120
    assert [run.run_id for run in producer.runs()] == [is_open.id, with_body.id]
    assert settled[0].status().state == "not_found"
    assert list(real.client.scan_iter(f"*{settled[0].id}*")) == []
    assert producer.stats().total_executions == 121  # what was counted stays counted
    assert producer.purge() == 0


def test_what_has_settled_lately_may_be_kept(real: RealSite, producer: Producer) -> None:
    run = producer.submit(["GetStep"])
    do(real, run)
    assert producer.purge(older_than_s=3600) == 0
    assert producer.purge(older_than_s=0) == 1


@pytest.mark.parametrize("older_than_s", [-1, -0.001, float("nan")])
def test_an_age_below_nothing_is_refused(producer: Producer, older_than_s: float) -> None:
    with pytest.raises(SettingsError, match="older_than_s must be 0 or more seconds, not"):
        producer.purge(older_than_s=older_than_s)


# rules -----------------------------------------------------------------------------------------------------------


def test_changed_rules_hold_for_the_next_submit_and_broken_ones_change_nothing(real: RealSite, tmp_path: Any) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('non_critical_names = ["UpdateStep"]\ncritical_patterns = []\n')
    step(name="UpdateStep")(lambda: None)
    with Producer(real.settings.model_copy(update={"rules_file": rules}), real.url) as producer:

        def classes() -> list[bool]:
            return [one.critical for one in plan_of(real, producer.submit(["UpdateStep"])).steps]

        assert classes() == [False]
        rules.write_text('critical_names = ["UpdateStep"]\n')
        assert classes() == [False]
        producer.reload_rules()
        assert classes() == [True]
        assert producer.stats().classifier.critical_names == 1
        for broken in ("critical_names = [", 'critical_patterns = ["("]', 'criticl_names = ["UpdateStep"]'):
            rules.write_text(broken)
            with pytest.raises(SettingsError):
                producer.reload_rules()
            assert classes() == [True]
        rules.unlink()
        with pytest.raises(SettingsError):
            producer.reload_rules()
        assert classes() == [True]
