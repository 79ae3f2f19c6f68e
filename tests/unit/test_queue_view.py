"""Queues, workers and lanes as they are at this moment."""

import json
from collections.abc import Iterator

import pytest

from config.queue_settings import QueueSettings
from producer.overview import Overview
from producer.queue_view import LaneView, lane_view, queue_view, worker_view
from steps.decorator import step
from steps.ledger.records import Beat, LaneFacts, QueueFacts, WorkerCard
from steps.registry import StepRegistry
from tests.support.worker_kits import WORKER, Workshop

QUEUE = QueueSettings(name="parallel", pool="threads", concurrency=20)
INFO = {"host": "web-1", "pid": 7, "pool": "threads", "slots": 4, "started_ms": 1_700_000_000_000}


def card(worker_id: str = "w1", queue: str = "parallel", claims: int = 0, **info: object) -> WorkerCard:
    return WorkerCard(worker_id, queue, json.dumps({**INFO, **info}).encode(), claims)


@pytest.fixture(autouse=True)
def _steps() -> Iterator[None]:
    with StepRegistry().isolated():
        step(name="GetStep", critical=False)(lambda: None)
        step(name="WriteStep", critical=True)(lambda: None)
        yield


def test_a_worker_shows_what_it_said_of_itself_and_how_busy_it_is() -> None:
    view = worker_view(card(claims=3))
    assert view.as_dict() == {"worker_id": "w1", "queue": "parallel", **INFO, "busy": 3}


def test_a_worker_is_no_busier_than_it_has_slots() -> None:
    assert worker_view(card(claims=9)).busy == 4  # what has settled and still runs holds no slot


def test_a_worker_that_says_nothing_is_shown_all_the_same() -> None:
    view = worker_view(WorkerCard("w1", "parallel", b"{}", 2))
    assert (view.host, view.pid, view.slots, view.busy, view.started_ms) == ("", 0, 0, 0, 0.0)


def test_a_queue_counts_what_waits_and_what_its_own_workers_run() -> None:
    workers = [worker_view(card("w1", claims=3)), worker_view(card("w2")), worker_view(card("x", "critical", 1))]
    view = queue_view(QUEUE, QueueFacts(10, 5.0, 9.0), workers, max_size=100)
    assert (view.length, view.running, view.slots, view.max_size) == (7, 3, 8, 100)
    assert (view.oldest_ms, view.newest_ms) == (5.0, 9.0)
    assert [worker.worker_id for worker in view.workers] == ["w1", "w2"]


def test_a_queue_is_never_shorter_than_empty() -> None:
    assert queue_view(QUEUE, QueueFacts(1, None, None), [worker_view(card(claims=3))], max_size=9).length == 0


def test_the_holder_of_a_lane_does_not_wait_in_it() -> None:
    assert lane_view(LaneFacts("a", "r", 5.0, 3)) == LaneView(lane="a", holder="r", since_ms=5.0, waiting=2)
    assert lane_view(LaneFacts("a", "r", 5.0, 0)).waiting == 0


def test_a_site_without_workers_and_runs_is_shown() -> None:
    shop = Workshop()
    shop.ledger.tick(Beat(WORKER, "leave", "critical"))
    site = Overview(shop.ledger, shop.settings).queues()
    assert [queue.name for queue in site.queues] == [queue.name for queue in shop.settings.queues]
    assert all((one.length, one.running, one.slots, one.workers) == (0, 0, 0, ()) for one in site.queues)
    assert all((one.oldest_ms, one.newest_ms, one.max_size) == (None, None, 100_000) for one in site.queues)
    assert site.as_dict()["lanes"] == []


def test_a_site_at_work_is_shown_as_it_is() -> None:
    shop = Workshop()
    shop.ledger.tick(Beat(WORKER, "leave", "critical"))
    shop.ledger.tick(Beat("w1", "join", "critical", json.dumps({**INFO, "pool": "prefork", "slots": 1})))
    runs = [shop.open([{"name": "WriteStep", "lane": lane}, "GetStep", "GetStep"]) for lane in ("a", "a", "b")]
    assert shop.ledger.claim(runs[0], 0, worker="w1", want=1, with_meta=False)
    overview = Overview(shop.ledger, shop.settings)
    critical, parallel = overview.queues().queues
    assert (critical.length, critical.running, critical.slots) == (2, 1, 1)
    assert (parallel.length, parallel.running, parallel.slots) == (6, 0, 0)
    assert critical.oldest_ms is not None
    assert critical.newest_ms is not None
    assert critical.oldest_ms <= critical.newest_ms
    assert [(lane.lane, lane.holder, lane.waiting) for lane in overview.queues().lanes] == [
        ("a", runs[0], 1),
        ("b", runs[2], 0),
    ]
    assert [worker.worker_id for worker in overview.workers()] == ["w1"]
    assert json.loads(json.dumps(overview.queues().as_dict()))["queues"][0]["workers"][0]["pool"] == "prefork"
