"""What a site tells of itself, on a real Redis without workers: runs by filter, statistics, expectations, schedules."""

from collections.abc import Iterator
from typing import Any

import pytest

from config.errors import SettingsError
from producer import Producer, Run
from producer.planning.batch import parse_batch
from steps import RunUnknown, step
from steps.definition import StepFacts
from steps.ledger.ledger import RUNS_A_LOOK
from steps.ledger.records import Beat, StepFate
from steps.outcome import Settlement, Status
from steps.registry import StepRegistry
from tests.support.real_redis import RealSite

WORKER = "w"
HOUR_S = 3_600.0


@pytest.fixture(autouse=True)
def _steps() -> Iterator[None]:
    with StepRegistry().isolated():
        step(name="GetStep", critical=False)(lambda: None)
        step(name="WriteStep", critical=True)(lambda: None)
        yield


@pytest.fixture
def producer(real: RealSite) -> Iterator[Producer]:
    for queue in ("critical", "parallel"):
        real.ledger.tick(Beat(WORKER, "join", queue))
    with Producer(real.settings, real.url) as producer:
        yield producer


def do(real: RealSite, run: Run, parcel: int = 0, *, status: Status = "succeeded", ran_ms: float = 1.0) -> None:
    """Do what a worker would with the next step of a parcel."""
    claimed = real.ledger.claim(run.id, parcel, worker=WORKER, want=1, with_meta=False)
    assert claimed is not None
    (one,) = claimed.steps
    payload = Settlement(status=status, attempts=1, ran_ms=ran_ms).encode()
    fate = StepFate(one.index, one.fence, "S", status, payload)
    assert real.ledger.settle(run.id, parcel, [fate], worker=WORKER).accepted == (True,)


def done(real: RealSite, producer: Producer, **options: Any) -> Run:
    run = producer.submit(["GetStep"], **options)
    do(real, run)
    return run


def ids(producer: Producer, **filters: Any) -> list[str]:
    return [run.run_id for run in producer.runs(**filters)]


def age(real: RealSite, run: Run, by_s: float) -> None:
    """Let a run have been accepted and have settled so much earlier."""
    key = f"stepline:v1:run:{run.id}"
    for field in ("created", "settled_at"):
        if real.client.hget(key, field):
            real.client.hincrby(key, field, -round(by_s * 1_000_000))
    for line in ("open_runs", "closed_runs"):
        if real.client.zscore(f"stepline:v1:{line}", run.id) is not None:
            real.client.zincrby(f"stepline:v1:{line}", -by_s * 1_000, run.id)


# runs ------------------------------------------------------------------------------------------------------------


def test_open_runs_come_first_and_each_kind_the_newest_first(real: RealSite, producer: Producer) -> None:
    runs = [producer.submit(["GetStep"]) for _ in range(6)]
    for hours, run in enumerate(reversed(runs)):
        age(real, run, hours * HOUR_S)
    for run in (runs[3], runs[1]):
        do(real, run)
    age(real, runs[3], 1.0)
    assert ids(producer) == [runs[number].id for number in (5, 4, 2, 0, 1, 3)]


def test_runs_are_found_by_state(real: RealSite, producer: Producer) -> None:
    queued, running, stopping = (producer.submit(["GetStep", "GetStep"]) for _ in range(3))
    waiting = producer.submit(["GetStep"], after=[queued.id])
    completed = done(real, producer)
    do(real, running)
    assert real.ledger.claim(stopping.id, 0, worker=WORKER, want=1, with_meta=False)
    stopping.cancel()
    by_state = {run.run_id: run.state for run in producer.runs()}
    assert by_state == {
        queued.id: "queued", running.id: "running", stopping.id: "stopping", waiting.id: "waiting",
        completed.id: "completed",
    }  # fmt: skip
    for run_id, state in by_state.items():
        assert ids(producer, state=state) == [run_id]
    assert ids(producer, state="not_found") == []


def test_runs_are_found_by_name_and_by_how_they_ended(real: RealSite, producer: Producer) -> None:
    good, bad = done(real, producer, name="view"), producer.submit(["GetStep"], name="view")
    do(real, bad, status="failed")
    is_open = producer.submit(["GetStep"], name="task")
    assert set(ids(producer, name="view")) == {good.id, bad.id}
    assert ids(producer, name="task") == [is_open.id]
    assert ids(producer, name="tas") == []
    assert (ids(producer, ok=True), ids(producer, ok=False)) == ([good.id], [bad.id])
    assert ids(producer, ok=False, name="task") == []


def test_no_more_runs_are_returned_than_were_asked_for(real: RealSite, producer: Producer) -> None:
    for _ in range(60):
        producer.submit(["GetStep"])
    for _ in range(RUNS_A_LOOK):
        done(real, producer)
    assert len(producer.runs()) == 50
    assert [len(producer.runs(limit=limit)) for limit in (0, 1, 60, 61, 1_000)] == [0, 1, 60, 61, 160]
    assert len(set(ids(producer, limit=1_000))) == 160
    with pytest.raises(SettingsError, match="limit must be 0 or more runs, not -1"):
        producer.runs(limit=-1)


def test_only_runs_of_the_last_so_many_seconds_are_returned(real: RealSite, producer: Producer) -> None:
    runs = [done(real, producer) for _ in range(3)] + [producer.submit(["GetStep"]) for _ in range(3)]
    for run, hours in zip(runs, (0, 1, 2, 0, 1, 2), strict=True):
        age(real, run, hours * HOUR_S)
    assert set(ids(producer, since_s=0.5 * HOUR_S)) == {runs[0].id, runs[3].id}
    assert set(ids(producer, since_s=1.5 * HOUR_S)) == {runs[number].id for number in (0, 1, 3, 4)}
    assert len(ids(producer, since_s=9 * HOUR_S)) == 6
    assert ids(producer, since_s=0) == []


def test_a_run_accepted_long_ago_that_has_settled_lately_is_recent(real: RealSite, producer: Producer) -> None:
    run = producer.submit(["GetStep"])
    age(real, run, 2 * HOUR_S)
    assert ids(producer, since_s=HOUR_S) == []
    do(real, run)
    assert ids(producer, since_s=HOUR_S) == [run.id]


def test_a_run_whose_body_ended_late_hides_none_that_settled_after_it(real: RealSite, producer: Producer) -> None:
    slow = producer.submit(["GetStep"], then="GetStep")
    do(real, slow)
    age(real, slow, 2 * HOUR_S)
    recent = done(real, producer)
    age(real, recent, 1.0)
    do(real, slow, 1)
    assert ids(producer) == [slow.id, recent.id]
    assert ids(producer, since_s=HOUR_S) == [recent.id]


def test_old_runs_are_not_read_to_the_last_one(
    real: RealSite, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3 * RUNS_A_LOOK):
        age(real, done(real, producer), 2 * HOUR_S)
    ledger, looked_at = producer._connections.ledger, []
    status = ledger.status
    monkeypatch.setattr(ledger, "status", lambda run_ids: looked_at.append(len(run_ids)) or status(run_ids))
    assert ids(producer, since_s=HOUR_S) == []
    assert looked_at == [RUNS_A_LOOK]


def test_a_run_that_settles_while_runs_are_read_is_returned_once(
    real: RealSite, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = producer.submit(["GetStep"])
    ledger = producer._connections.ledger
    status = ledger.status

    def settle_before(run_ids: list[str]) -> Any:
        if not ledger.read(run.id).is_settled:
            do(real, run)
        return status(run_ids)

    monkeypatch.setattr(ledger, "status", settle_before)
    assert [(one.run_id, one.state) for one in producer.runs()] == [(run.id, "completed")]


# the site --------------------------------------------------------------------------------------------------------


def test_a_site_where_nothing_has_run_has_statistics(real: RealSite) -> None:
    with Producer(real.settings, real.url) as producer:
        empty = producer.stats()
        assert (empty.since_ms, empty.total_executions, empty.average_ms, empty.success_rate) == (None, 0, 0.0, 0.0)
        assert (empty.system.workers, empty.system.slots, empty.steps) == (0, 0, ())
        assert (producer.runs(), producer.workers(), producer.queues().lanes) == ([], (), ())


def test_statistics_are_those_of_all_producers(real: RealSite, producer: Producer) -> None:
    with Producer(real.settings, real.url) as other:
        done(real, other, priority="high")
        done(real, producer)
        found = other.stats()
        assert found == producer.stats()
        assert (found.total_executions, found.ok_executions, found.success_rate) == (2, 2, 1.0)
        assert (found.schedule.scheduled, found.schedule.average_priority) == (2, 3.5)
        assert found.average_ms == pytest.approx(found.total_ms / 2, abs=0.001)
        assert 0 < found.p50_ms <= found.p95_ms


def test_a_plan_is_expected_to_take_what_its_steps_took(real: RealSite, producer: Producer) -> None:
    plan = producer.plan(parse_batch(["GetStep", "WriteStep"], settings=real.settings))
    assert producer.expected_ms(plan) == 60_000.0
    for _ in range(5):
        run = producer.submit(["GetStep"])
        do(real, run, ran_ms=200.0)
    assert producer.expected_ms(plan) == pytest.approx(30_200.0, rel=0.001)


def test_the_schedule_of_a_run_says_when_how_urgent_how_long_and_after_what(real: RealSite, producer: Producer) -> None:
    leader = producer.submit(["GetStep"])
    run = producer.submit(["GetStep", "WriteStep"], order="overlap", priority="high", after=[leader.id])
    schedule = run.schedule()
    assert (schedule.run_id, schedule.priority, schedule.estimated_ms) == (run.id, 16, 30_000.0)
    assert schedule.scheduled_at_ms == run.status().submitted_ms
    assert schedule.as_dict()["dependencies"] == [leader.id]
    do(real, leader)
    producer.purge()
    with pytest.raises(RunUnknown):
        leader.schedule()


def test_what_workers_say_of_a_step_is_believed_for_some_seconds_only(
    real: RealSite, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(facts: StepFacts) -> None:
        real.ledger.tick(Beat(WORKER, "beat", "parallel", known={"FarStep": facts.to_json()}))

    def is_critical() -> bool:
        return producer.plan(parse_batch(["FarStep"], settings=real.settings)).steps[0].critical

    tell(StepFacts("FarStep", critical=False))
    assert not is_critical()
    tell(StepFacts("FarStep", critical=True))
    assert not is_critical()
    monkeypatch.setattr("producer.site_plans.KNOWN_STEPS_KEPT_S", 0.0)
    assert is_critical()
