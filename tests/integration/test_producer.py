"""The way in, on a real Redis without workers."""

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from producer import Producer
from producer import inbox as inbox_module
from producer import run as run_module
from steps import step
from steps.definition import StepFacts
from steps.errors import (
    BrokerUnavailable,
    GatherTimeout,
    InvalidBatch,
    NoAnswer,
    QueueFull,
    RunLost,
    RunUnknown,
    SubmitUnknown,
    UnknownStep,
)
from steps.ledger import Ledger
from steps.ledger.ledger import SLICE
from steps.ledger.records import Beat
from steps.registry import StepRegistry
from tests.support.ledgers import fast_settings, running_server, server_programs
from tests.support.processes import wait_until
from tests.support.real_redis import RealSite
from tests.support.worker_kits import WORKER
from workers.kit import Kit
from workers.nudge import Nudge
from workers.side_parcel import HeldSteps, SidePipeline
from workers.slots import Slots

WAIT_S = 20.0
SELDOM_S = 4.0


@pytest.fixture(autouse=True)
def _steps() -> Iterator[None]:
    with StepRegistry().isolated():

        @step(critical=False)
        def GetStep(value: int = 0) -> int:
            return value

        @step(critical=True)
        def WriteStep() -> None: ...

        yield


@pytest.fixture
def producer(real: RealSite) -> Iterator[Producer]:
    with Producer(real.settings, real.url) as producer:
        yield producer


def work(real: RealSite, run_id: str, parcel: int = 0) -> None:
    """Do what a worker would with the message of a parcel of parallel steps."""
    real.ledger.tick(Beat(WORKER, "join", "parallel"))
    kit = Kit(real.settings, real.ledger, real.publisher, WORKER, lambda: False, Nudge())
    SidePipeline(kit=kit, slots=Slots(10), held=HeldSteps()).run(run_id, parcel)


def with_limit(real: RealSite, limit: int) -> Producer:
    return Producer(fast_settings(redis_url=real.url, queue_limit=limit), real.url)


def test_a_submitted_run_is_in_the_ledger_and_its_message_in_the_queue(real: RealSite, producer: Producer) -> None:
    run = producer.submit(["GetStep", "WriteStep", "GetStep"], order="overlap")
    record = real.ledger.read(run.id)
    assert (record.left, record.is_settled, run.total_steps) == (3, False, 3)
    assert (real.messages("critical"), real.messages("parallel")) == (1, 1)


@pytest.mark.parametrize("how", ["gather", "gather_async"])
def test_a_run_that_settled_long_ago_is_gathered_at_once_though_its_notice_was_dropped(
    real: RealSite, producer: Producer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(inbox_module, "LOOK_EVERY_S", SELDOM_S)
    monkeypatch.setattr(run_module, "LOOK_EVERY_S", 0.0)  # so soon it counts as long ago
    run = producer.submit(["GetStep"])
    work(real, run.id)
    real.client.delete(*real.client.keys("stepline:v1:inbox:*"))
    began_s = time.monotonic()
    result = run.gather(WAIT_S) if how == "gather" else asyncio.run(run.gather_async(WAIT_S))
    assert result.ok
    assert time.monotonic() - began_s < SELDOM_S / 2


def test_an_empty_batch_settles_at_once(producer: Producer) -> None:
    result = producer.run([], timeout=WAIT_S)
    assert result.ok
    assert list(result.outcomes) == []


def test_a_run_is_gathered_in_input_order(real: RealSite, producer: Producer) -> None:
    run = producer.submit([{"name": "GetStep", "params": {"value": value}} for value in range(5)])
    work(real, run.id)
    assert [outcome.value for outcome in run.gather(timeout=WAIT_S).outcomes] == [0, 1, 2, 3, 4]


def test_gathering_has_an_end_and_holds_what_there_is(real: RealSite, producer: Producer) -> None:
    run = producer.submit(["GetStep", "WriteStep"], order="overlap")
    work(real, run.id, parcel=1)
    with pytest.raises(GatherTimeout) as late:
        run.gather(timeout=0.05)
    assert [(one.id, one.status) for one in late.value.outcomes] == [("GetStep", "succeeded")]
    assert late.value.total == 2
    run.cancel()
    assert [one.status for one in run.gather(timeout=WAIT_S).outcomes] == ["succeeded", "cancelled"]


def test_a_deadline_ends_a_run_without_workers(producer: Producer) -> None:
    result = producer.run(["GetStep", "WriteStep"], deadline=0.05, timeout=WAIT_S)
    assert [one.status for one in result.outcomes] == ["timed_out"] * 2


def test_any_process_may_attach(real: RealSite, producer: Producer) -> None:
    run = producer.submit(["GetStep"])
    with Producer(real.settings, real.url) as other:
        attached = other.attach(run.id)
        work(real, run.id)
        assert attached.gather(timeout=WAIT_S).as_dict() == run.gather(timeout=WAIT_S).as_dict()
        assert other.attach(run.id).gather(timeout=WAIT_S).ok
        with pytest.raises(RunUnknown):
            other.attach("never was")


def test_a_full_queue_refuses_a_run_and_nothing_is_written(real: RealSite) -> None:
    with with_limit(real, 2) as producer:
        producer.submit(["GetStep", "GetStep"])
        before = set(real.client.keys("stepline:v1:*"))
        with pytest.raises(QueueFull) as full:
            producer.submit(["WriteStep", "GetStep"])
        assert (full.value.queue, full.value.pending, full.value.limit) == ("parallel", 2, 2)
        assert set(real.client.keys("stepline:v1:*")) == before
        assert (real.messages("critical"), real.messages("parallel")) == (0, 1)
        assert producer.submit(["WriteStep"]).total_steps == 1


def test_bad_input_is_refused_before_redis_is_asked(real: RealSite, producer: Producer) -> None:
    with pytest.raises(InvalidBatch) as refused:
        producer.submit([{"name": "GetStep", "params": {"value": "seven"}}, {"name": "GetStep", "id": "no id"}])
    assert [problem.path for problem in refused.value.problems] == ["steps[0].params.value", "steps[1].id"]
    assert real.client.keys("*") == []


def test_a_step_is_known_by_what_workers_publish_of_it(real: RealSite, producer: Producer) -> None:
    with pytest.raises(UnknownStep):
        producer.submit(["FetchReportStep"])
    facts = StepFacts(name="FetchReportStep", critical=True, lane="reports")
    real.ledger.tick(Beat(WORKER, "join", "critical", known={"FetchReportStep": facts.to_json()}))
    with Producer(real.settings, real.url) as fresh:
        with pytest.raises(UnknownStep) as unknown:
            fresh.submit(["FetchReprotStep", "GetStpe"])
        assert [problem.path for problem in unknown.value.problems] == ["steps[0]", "steps[1]"]
        assert "did you mean FetchReportStep?" in str(unknown.value)
        assert "did you mean GetStep?" in str(unknown.value)
        run = fresh.submit(["FetchReportStep"])
        assert list(fresh.known_steps()) == ["FetchReportStep"]
    assert real.client.zrange("stepline:v1:lane:reports", 0, -1) == [run.id.encode()]


def test_a_submit_whose_answer_is_lost_says_so_and_can_be_attached_to(
    real: RealSite, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_run = Ledger.open

    def lose_the_answer(*arguments: Any, **options: Any) -> None:
        open_run(*arguments, **options)
        raise NoAnswer("the connection broke")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "open", lose_the_answer)
        with pytest.raises(SubmitUnknown) as unknown:
            producer.submit(["GetStep"])
    assert real.messages("parallel") == 0  # A keeper finds it and publishes it.
    run = producer.attach(unknown.value.run_id)
    work(real, run.id)
    assert run.gather(timeout=WAIT_S).ok


def test_a_submit_is_accepted_though_redis_goes_away_before_others_have_been_moved_on(
    real: RealSite, producer: Producer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    old = producer.submit(["GetStep"] * 2 * SLICE, supersede="view:1")

    def fail(*_: object) -> None:
        raise BrokerUnavailable("it is away")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "tick", fail)
        new = producer.submit(["GetStep"], supersede="view:1")
    assert f"a keeper is left to go on with {old.id}: it is away" in caplog.text
    assert old.status().state == "stopping"
    real.ledger.finish(real.ledger.tick(Beat()).unfinished)
    assert [one.status for one in old.gather(timeout=WAIT_S).outcomes] == ["cancelled"] * 2 * SLICE
    work(real, new.id)
    assert new.gather(timeout=WAIT_S).ok


def test_a_submit_to_a_redis_that_came_back_empty_is_planned_anew(
    real: RealSite, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[object] = []
    plan = producer.plan
    monkeypatch.setattr(producer, "plan", lambda batch: planned.append(batch) or plan(batch))
    lost = producer.submit(["GetStep"])
    real.client.flushall()
    run = producer.submit(["GetStep"])
    assert len(planned) == 3
    work(real, run.id)
    assert not run.gather(timeout=WAIT_S).rolled_back
    with pytest.raises(RunLost):
        lost.gather(timeout=WAIT_S)
    with pytest.raises(RunLost):
        next(lost.outcomes())


def test_without_redis_a_submit_is_refused_within_its_time_outs() -> None:
    settings = fast_settings(connect_timeout_s=0.2, socket_timeout_s=0.2)
    with (
        Producer(settings, "redis://127.0.0.1:1/0") as producer,
        pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"),
    ):
        producer.submit(["GetStep"])


def test_a_producer_goes_on_when_redis_is_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    (program, *_) = server_programs().values()
    with running_server(program) as url:
        producer = Producer(fast_settings(connect_timeout_s=0.2, socket_timeout_s=0.5), url)
        producer.run([], timeout=WAIT_S)
        real = RealSite(url)
        real.client.config_set("maxclients", 1)
        real.client.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises((BrokerUnavailable, SubmitUnknown)):
            producer.submit([])
        real.client.config_set("maxclients", 1000)
        assert producer.run([], timeout=WAIT_S).ok
        producer.close()
        real.close()


def test_many_threads_share_one_producer(real: RealSite, producer: Producer) -> None:
    results: list[Any] = []

    def submit_and_gather(value: int) -> None:
        run = producer.submit([{"name": "GetStep", "params": {"value": value}}] * 3)
        work(real, run.id)
        results.append((value, [one.value for one in run.gather(timeout=WAIT_S).outcomes]))

    threads = [threading.Thread(target=submit_and_gather, args=(value,)) for value in range(12)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(results) == 12)
    assert sorted(results) == [(value, [value] * 3) for value in range(12)]


def test_a_closed_producer_can_be_used_again(real: RealSite) -> None:
    producer = Producer(real.settings, real.url)
    for _ in range(2):
        assert producer.run([], timeout=WAIT_S).ok
        producer.close()
