"""The statistics of a site: of none, of counts, and of what the settling scripts really count."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import pytest

from config.rules import Rules, load_rules
from producer.overview import Overview
from producer.queue_view import SiteQueues
from producer.site_statistics import Statistics, statistics_of
from steps.classifier import RULES
from steps.decorator import step
from steps.ledger.records import Beat, StepFate
from steps.outcome import STATUSES, Settlement, Status
from steps.registry import StepRegistry
from tests.support.worker_kits import WORKER, Workshop

NO_QUEUES = SiteQueues(queues=(), lanes=())
PROMISED = 0.1
"""No percentile is off by more than this part of it."""


def of(counts: Mapping[str, int], steps: Mapping[str, Mapping[str, int]] | None = None, **more: Any) -> Statistics:
    return statistics_of(counts, steps or {}, **{"active": 0, "queues": NO_QUEUES, "rules": Rules(), **more})


def numbers(value: Any) -> Iterator[float]:
    """Yield all the numbers in a record."""
    if isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from numbers(one)
    elif isinstance(value, int | float):
        yield value


def test_a_site_where_nothing_has_run_has_zeros_only() -> None:
    empty = of({})
    assert empty.since_ms is None
    assert set(numbers(asdict(empty))) == {0}
    assert empty.steps == ()
    assert empty.outcomes == dict.fromkeys(STATUSES, 0)
    assert empty.classifier.decisions == dict.fromkeys(RULES, 0)


def test_a_site_whose_runs_are_all_open_divides_by_nothing() -> None:
    counts = {"since": 1_000, "scheduled": 2, "priority": 12, "rule|pattern": 3}
    waiting = of(counts, active=2)
    assert (waiting.since_ms, waiting.active_executions, waiting.total_executions) == (1_000.0, 2, 0)
    assert (waiting.schedule.scheduled, waiting.schedule.average_priority) == (2, 6.0)
    assert waiting.schedule.average_duration_ms == waiting.average_ms == waiting.success_rate == 0.0
    assert waiting.classifier.decisions["pattern"] == 3


def test_rates_and_ratios_are_parts_of_what_has_settled() -> None:
    counts = {
        "since": 1, "runs": 4, "runs_ok": 1, "run_us": 6_000_000, "sequential": 5, "parallel": 15, "scheduled": 5,
        "priority": 30, "succeeded": 12, "failed": 2, "lost": 2, "timed_out": 1, "cancelled": 2, "skipped": 1,
        "b80": 4,
    }  # fmt: skip
    mixed = of(counts)
    assert (mixed.total_executions, mixed.ok_executions) == (4, 1)
    assert (mixed.sequential_executions, mixed.parallel_executions, mixed.parallelisation_ratio) == (5, 15, 0.75)
    assert (mixed.total_ms, mixed.average_ms, mixed.schedule.average_duration_ms) == (6_000.0, 1_500.0, 1_500.0)
    assert (mixed.success_rate, mixed.failure_rate, mixed.timeout_rate) == (0.6, 0.2, 0.05)
    assert mixed.schedule.average_priority == 6.0
    assert mixed.p50_ms == mixed.p95_ms == pytest.approx(1_000, rel=0.2)


def test_a_step_has_the_average_of_the_attempts_that_ran() -> None:
    counts = {"succeeded": 2, "skipped": 5, "lost": 1, "us": 30_000, "b53": 1, "b57": 1}
    (one,) = of({}, {"GetStep": counts}).steps
    assert (one.name, one.count, one.average_ms) == ("GetStep", 8, 15.0)
    assert one.outcomes == {**dict.fromkeys(STATUSES, 0), "succeeded": 2, "skipped": 5, "lost": 1}
    (never,) = of({}, {"GetStep": {"skipped": 3}}).steps
    assert (never.count, never.average_ms, never.p50_ms, never.p95_ms) == (3, 0.0, 0.0, 0.0)


def test_steps_are_sorted_by_name_and_all_of_it_is_json() -> None:
    record = of({"runs": 1}, {"b": {"succeeded": 1}, "a": {}}).as_dict()
    assert [one["name"] for one in record["steps"]] == ["a", "b"]
    assert json.loads(json.dumps(record)) == record


def test_the_classifier_shows_the_rules_of_this_process() -> None:
    rules = load_rules()
    shown = of({}, rules=rules).classifier
    assert (shown.critical_patterns, shown.non_critical_patterns) == (
        len(rules.critical_patterns), len(rules.non_critical_patterns),
    )  # fmt: skip
    assert (shown.critical_names, shown.non_critical_names) == (
        len(rules.critical_names),
        len(rules.non_critical_names),
    )
    assert shown.context_keys == len(rules.context_keys) + len(rules.context_values) > 0


# as the scripts count --------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _steps() -> Iterator[None]:
    with StepRegistry().isolated():
        step(name="GetStep", critical=False)(lambda: None)
        step(name='Größe|of "it"', critical=False)(lambda: None)
        step(name="WriteStep", critical=True)(lambda: None)
        step(name="ReadStep")(lambda: None)
        yield


def settle(shop: Workshop, run_id: str, parcel: int, *outcomes: tuple[Status, float]) -> None:
    """Settle steps of a parcel, each with a status and the milliseconds it ran."""
    for status, ran_ms in outcomes:
        claimed = shop.ledger.claim(run_id, parcel, worker=WORKER, want=1, with_meta=False)
        assert claimed is not None
        (one,) = claimed.steps
        value = {"ran_ms": 7_777_777} if status == "succeeded" else None
        payload = Settlement(status=status, attempts=one.attempt, ran_ms=ran_ms, value=value).encode()
        fate = StepFate(one.index, one.fence, "S", status, payload)
        settled = shop.ledger.settle(run_id, parcel, [fate], worker=WORKER)
        assert settled.accepted == (True,)
        shop.ledger.settle(run_id, parcel, [fate], worker=WORKER)  # a second time changes nothing
        shop.ledger.finish(settled.unfinished)


def stats(shop: Workshop) -> Statistics:
    return Overview(shop.ledger, shop.settings).statistics(load_rules())


def test_an_empty_site_is_all_zeros_but_for_its_rules_and_its_worker() -> None:
    shop = Workshop()
    empty = stats(shop)
    assert (empty.since_ms, empty.steps) == (None, ())
    assert set(numbers({**asdict(empty), "classifier": empty.classifier.decisions, "system": {}})) == {0}
    assert (empty.system.workers, empty.system.queue_length, empty.system.max_queue_size) == (1, 0, 100_000)


def test_every_outcome_is_counted_once() -> None:
    shop = Workshop()
    run = shop.open(["WriteStep", "WriteStep", "GetStep", "GetStep", "ReadStep"], priority="high")
    settle(shop, run, 0, ("failed", 20.0))
    settle(shop, run, 1, ("timed_out", 30.0), ("succeeded", 10.0), ("lost", 0.0))
    second = shop.open(["GetStep", "GetStep"])
    settle(shop, second, 0, ("succeeded", 12.0))
    shop.ledger.cancel(second, "enough")
    shop.open(["GetStep"])
    found = stats(shop)
    assert found.outcomes == {"succeeded": 2, "failed": 1, "timed_out": 1, "cancelled": 1, "skipped": 1, "lost": 1}
    assert (found.total_executions, found.ok_executions, found.active_executions) == (2, 0, 1)
    assert (found.sequential_executions, found.parallel_executions) == (2, 5)
    assert (found.schedule.scheduled, found.schedule.average_priority) == (3, 6.0)
    assert found.system.queue_length == 1
    by_name = {one.name: one for one in found.steps}
    assert by_name["GetStep"].count == 4
    assert by_name["GetStep"].average_ms == pytest.approx((30 + 10 + 12) / 3, abs=0.001)
    assert by_name["WriteStep"].outcomes["skipped"] == 1
    assert by_name["ReadStep"].outcomes["lost"] == 1
    decisions = {rule: count for rule, count in found.classifier.decisions.items() if count}
    assert decisions == {"decorator": 7, "pattern": 1}


def test_a_name_with_anything_in_it_is_counted_as_it_is() -> None:
    shop = Workshop()
    run = shop.open(['Größe|of "it"'])
    settle(shop, run, 0, ("succeeded", 5.0))
    (one,) = stats(shop).steps
    assert (one.name, one.count, one.average_ms) == ('Größe|of "it"', 1, 5.0)


def test_percentiles_of_a_step_are_within_what_is_promised() -> None:
    shop = Workshop()
    shop.ledger.tick(Beat(WORKER, "join", "parallel"))
    times_ms = [1.0] * 10 + [100.0] * 85 + [2_500.0] * 5
    run = shop.open(["GetStep"] * 100, max_concurrency=100)
    settle(shop, run, 0, *(("succeeded", ran_ms) for ran_ms in times_ms))
    (one,) = stats(shop).steps
    assert one.p50_ms == pytest.approx(100.0, rel=PROMISED)
    assert one.p95_ms == pytest.approx(100.0, rel=PROMISED)
    assert one.average_ms == pytest.approx(sum(times_ms) / 100)


def test_a_forced_order_is_counted_as_sequential() -> None:
    shop = Workshop()
    run = shop.open(["GetStep", "GetStep"], mode="sequential")
    settle(shop, run, 0, ("succeeded", 1.0), ("succeeded", 1.0))
    found = stats(shop)
    assert (found.sequential_executions, found.parallel_executions, found.parallelisation_ratio) == (2, 0, 0.0)


def test_the_completion_body_is_no_step_of_the_run() -> None:
    shop = Workshop()
    run = shop.open(["GetStep"], then="ReadStep")
    settle(shop, run, 0, ("succeeded", 1.0))
    settle(shop, run, 1, ("failed", 1.0))
    found = stats(shop)
    assert (sum(found.outcomes.values()), found.ok_executions, found.failure_rate) == (1, 1, 0.0)
