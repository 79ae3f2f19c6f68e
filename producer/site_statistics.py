"""The statistics of a site, from the counts that the settling scripts keep."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from config.rules import Rules
from producer.percentiles import MICROSECONDS_A_MS, is_bucket, percentile_ms
from producer.queue_view import SiteQueues
from steps.classifier import RULES
from steps.outcome import STATUSES

UNKNOWN_STEP_MS: Final = 30_000.0
"""What a step is expected to take that has never run."""

MEDIAN: Final = 0.5
MOST: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStatistics:
    """One step over all runs: its outcomes by status, and how long its last attempts ran (0.0 where none did)."""

    name: str
    count: int
    outcomes: dict[str, int]
    average_ms: float
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleStatistics:
    """The runs that were accepted: how many, their average priority, and how long a settled one took on average."""

    scheduled: int
    average_priority: float
    average_duration_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierStatistics:
    """The rules of this process, and how often each kind of rule decided, over the whole site."""

    critical_patterns: int
    non_critical_patterns: int
    critical_names: int
    non_critical_names: int
    context_keys: int
    decisions: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemMetrics:
    """The site at this moment."""

    active_executions: int
    max_queue_size: int
    queue_length: int
    workers: int
    slots: int
    busy_slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """A site's statistics since ``since_ms`` (None: nothing has run yet); rates are of steps, 0.0 to 1.0.

    ``total_executions`` are settled runs, ``sequential_executions`` and ``parallel_executions`` the steps of them that
    were to run in a lane, one at a time, and those that were to run beside others. ``outcomes`` count those of open
    runs too.
    """

    since_ms: float | None
    total_executions: int
    ok_executions: int
    active_executions: int
    sequential_executions: int
    parallel_executions: int
    parallelisation_ratio: float
    total_ms: float
    average_ms: float
    p50_ms: float
    p95_ms: float
    success_rate: float
    failure_rate: float
    timeout_rate: float
    outcomes: dict[str, int]
    steps: tuple[StepStatistics, ...]
    schedule: ScheduleStatistics
    classifier: ClassifierStatistics
    system: SystemMetrics

    def as_dict(self) -> dict[str, Any]:
        """Return it as ``stepline stats --json`` prints it."""
        return {**asdict(self), "steps": [asdict(step) for step in self.steps]}


def statistics_of(
    counts: Mapping[str, int],
    step_counts: Mapping[str, Mapping[str, int]],
    *,
    active: int,
    queues: SiteQueues,
    rules: Rules,
) -> Statistics:
    """Return the statistics that the ledger's counts amount to.

    Args:
        counts: Of the site.
        step_counts: Of each step, by name.
        active: Open runs.
        queues: The site's, as they are now.
        rules: Those of this process.
    """
    runs = counts.get("runs", 0)
    total_ms = counts.get("run_us", 0) / MICROSECONDS_A_MS
    sequential, parallel = counts.get("sequential", 0), counts.get("parallel", 0)
    outcomes: dict[str, int] = {status: counts.get(status, 0) for status in STATUSES}
    settled = sum(outcomes.values())
    return Statistics(
        since_ms=float(counts["since"]) if "since" in counts else None,
        total_executions=runs,
        ok_executions=counts.get("runs_ok", 0),
        active_executions=active,
        sequential_executions=sequential,
        parallel_executions=parallel,
        parallelisation_ratio=_part(parallel, sequential + parallel),
        total_ms=round(total_ms, 3),
        average_ms=round(_part(total_ms, runs), 3),
        p50_ms=round(percentile_ms(counts, MEDIAN), 3),
        p95_ms=round(percentile_ms(counts, MOST), 3),
        success_rate=_part(outcomes["succeeded"], settled),
        failure_rate=_part(outcomes["failed"] + outcomes["lost"], settled),
        timeout_rate=_part(outcomes["timed_out"], settled),
        outcomes=outcomes,
        steps=tuple(_step(name, step_counts[name]) for name in sorted(step_counts)),
        schedule=_schedule(counts, _part(total_ms, runs)),
        classifier=_classifier(counts, rules),
        system=_system(active, queues),
    )


def expected_step_ms(counts: Mapping[str, int]) -> float:
    """Return how long a step is expected to run: its median so far, 30 s where it never ran."""
    return percentile_ms(counts, MEDIAN) or UNKNOWN_STEP_MS


def _step(name: str, counts: Mapping[str, int]) -> StepStatistics:
    outcomes: dict[str, int] = {status: counts.get(status, 0) for status in STATUSES}
    timed = sum(count for what, count in counts.items() if is_bucket(what))
    return StepStatistics(
        name=name,
        count=sum(outcomes.values()),
        outcomes=outcomes,
        average_ms=round(_part(counts.get("us", 0) / MICROSECONDS_A_MS, timed), 3),
        p50_ms=round(percentile_ms(counts, MEDIAN), 3),
        p95_ms=round(percentile_ms(counts, MOST), 3),
    )


def _schedule(counts: Mapping[str, int], average_ms: float) -> ScheduleStatistics:
    scheduled = counts.get("scheduled", 0)
    return ScheduleStatistics(
        scheduled=scheduled,
        average_priority=round(_part(counts.get("priority", 0), scheduled), 3),
        average_duration_ms=round(average_ms, 3),
    )


def _classifier(counts: Mapping[str, int], rules: Rules) -> ClassifierStatistics:
    return ClassifierStatistics(
        critical_patterns=len(rules.critical_patterns),
        non_critical_patterns=len(rules.non_critical_patterns),
        critical_names=len(rules.critical_names),
        non_critical_names=len(rules.non_critical_names),
        context_keys=len(rules.context_keys) + len(rules.context_values),
        decisions={rule: counts.get(f"rule|{rule}", 0) for rule in RULES},
    )


def _system(active: int, queues: SiteQueues) -> SystemMetrics:
    workers = [worker for queue in queues.queues for worker in queue.workers]
    return SystemMetrics(
        active_executions=active,
        max_queue_size=queues.queues[0].max_size if queues.queues else 0,
        queue_length=sum(queue.length for queue in queues.queues),
        workers=len(workers),
        slots=sum(worker.slots for worker in workers),
        busy_slots=sum(worker.busy for worker in workers),
    )


def _part(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
