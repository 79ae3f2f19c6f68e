"""The statistics of a site in words and as a table."""

from typing import Final

from producer.cli.status_text import counts_text
from producer.cli.tables import print_facts, print_table
from producer.cli.times import moment, span
from producer.site_statistics import Statistics, StepStatistics

STEP_HEADS: Final = ("step", "settled", "outcomes", "average ms", "p50 ms", "p95 ms")


def print_statistics(statistics: Statistics) -> None:
    """Print what holds for the whole site, a line each, and a table of the steps."""
    print_facts(facts_of(statistics))
    if statistics.steps:
        print_table(STEP_HEADS, [step_row(step) for step in statistics.steps])


def facts_of(statistics: Statistics) -> list[tuple[str, str]]:
    """Return what to say of the whole site, by name."""
    schedule, system, classifier = statistics.schedule, statistics.system, statistics.classifier
    times = (statistics.average_ms, statistics.p50_ms, statistics.p95_ms)
    average, half, most = map(span, times)
    return [
        ("since", "nothing has run yet" if statistics.since_ms is None else moment(statistics.since_ms)),
        (
            "runs",
            f"{statistics.total_executions} completed, {statistics.ok_executions} ok, "
            f"{statistics.active_executions} active, {schedule.scheduled} accepted",
        ),
        ("run time", f"average {average}, p50 {half}, p95 {most}, all of them {span(statistics.total_ms)}"),
        (
            "steps",
            f"{statistics.sequential_executions} sequential, {statistics.parallel_executions} parallel "
            f"(ratio {statistics.parallelisation_ratio:.2f})",
        ),
        ("outcomes", counts_text(statistics.outcomes)),
        (
            "rates",
            f"success {statistics.success_rate:.1%}, failure {statistics.failure_rate:.1%}, "
            f"time-out {statistics.timeout_rate:.1%}",
        ),
        ("priority", f"{schedule.average_priority:.1f} on average"),
        (
            "classifier",
            f"{classifier.critical_patterns} critical and {classifier.non_critical_patterns} non-critical patterns, "
            f"{classifier.critical_names} and {classifier.non_critical_names} names, "
            f"{classifier.context_keys} context keys",
        ),
        ("decided by", counts_text(classifier.decisions)),
        (
            "now",
            f"{system.queue_length} steps wait (each queue takes {system.max_queue_size}), "
            f"{system.busy_slots} of {system.slots} slots busy on {system.workers} workers",
        ),
    ]


def step_row(step: StepStatistics) -> tuple[str, ...]:
    """Return the cells of a step, for `STEP_HEADS`."""
    times = (step.average_ms, step.p50_ms, step.p95_ms)
    return step.name, str(step.count), counts_text(step.outcomes), *[f"{time_ms:.1f}" for time_ms in times]
