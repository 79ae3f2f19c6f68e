"""The report: what was measured and how, as Markdown."""

import os
import platform
from collections.abc import Sequence
from typing import Final

from bench.markdown import table
from bench.options import Options
from bench.readings import CpuTime, Readings
from bench.redis_counts import RedisCounts
from bench.rows import CELERY, HOW, ROWS
from bench.samples import Summary
from bench.targets import Verdict
from bench.workloads import WORKLOADS, Workload

QUIET: Final = 0.1
"""Processors that other programs may keep busy meanwhile; with more, the report says that the figures are off."""

COMMANDS_SHOWN: Final = 8
"""So many commands are named, the most frequent ones."""

HOW_COUNTED: Final = (
    "Differences of Redis' own counts (`INFO`: commandstats, total_reads_processed) around each workload. Messages: "
    "`LPUSH`, which only the broker uses. Commands: calls of all of them, those inside scripts too. Requests: reads "
    "from clients' sockets, so a pipeline is one. What workers do in the background meanwhile is in it; the rate of "
    "idle workers stands with their memory."
)


def report(readings: Readings, verdicts: Sequence[Verdict], options: Options) -> str:
    """Return the whole report.

    Args:
        readings: What was measured.
        verdicts: On the targets.
        options: What was asked for.
    """
    measured = [workload for workload in WORKLOADS if readings.of(workload)]
    sections = [
        _head(readings, options),
        _times(readings, [workload for workload in measured if not workload.is_throughput]),
        _throughput(readings, [workload for workload in measured if workload.is_throughput]),
        _redis(readings, measured),
        _idle(readings),
        _targets(verdicts),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(readings: Readings, options: Options) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in readings.versions.items())
    how = "; quick, so the figures mean little" if options.quick else ""
    others = f"Other programs kept {readings.others:.2f} of them busy meanwhile"
    quiet = f"{others}." if readings.others <= QUIET else f"**{others}: run it again on a quiet machine.**"
    taken = {reading.row for reading in readings.all} | {one.row for one in readings.idle}
    rows = "\n".join(f"- {row}: {HOW[row]}." for row in ROWS if row in taken)
    return (
        f"# Stepline beside plain Celery\n\nRounds: {len(readings.orders)}{how}. In each, one peer after the other, "
        "alone on the machine, on the same Redis server, started anew with the settings of the embedded Redis. "
        f"Python {platform.python_version()}, {versions}. {os.cpu_count()} CPUs. {quiet}\n\n{rows}"
    )


def _times(readings: Readings, workloads: Sequence[Workload]) -> str:
    header = ["workload", "peer", "median", "p95", "min..max", "batches", "of the limit", "of plain Celery"]
    lines = []
    for workload in workloads:
        summaries = readings.summaries(workload)
        for row, one in summaries.items():
            of_limit = f"{one.median / workload.limit_ms:.3f}" if workload.limit_ms else ""
            figures = [f"{one.median:.2f}", f"{one.p95:.2f}", f"{one.least:.2f}..{one.most:.2f}", str(one.count)]
            lines.append([_titled(workload), row, *figures, of_limit, _of_celery(one, summaries)])
    return _section("Milliseconds from submit to the last result", header, lines)


def _throughput(readings: Readings, workloads: Sequence[Workload]) -> str:
    header = ["workload", "peer", "steps/s", "min..max", "of plain Celery", "CPU us a step: producer, workers, Redis"]
    lines = []
    for workload in workloads:
        summaries = readings.summaries(workload)
        for row, taken in readings.of(workload).items():
            one = summaries[row]
            cpu = sum((reading.cpu for reading in taken), CpuTime())
            shares = ", ".join(f"{share:.0f}" for share in cpu.us_per(sum(reading.steps for reading in taken)))
            spread = f"{one.least:.0f}..{one.most:.0f}"
            lines.append([workload.title, row, f"{one.median:.0f}", spread, _of_celery(one, summaries), shares])
    return _section("Steps a second", header, lines)


def _redis(readings: Readings, workloads: Sequence[Workload]) -> str:
    header = ["workload", "peer", "messages a batch", "commands a step", "requests a step", "commands a batch"]
    lines = []
    for workload in workloads:
        for row, taken in readings.of(workload).items():
            counts = sum((reading.counts for reading in taken), RedisCounts())
            batches, steps = sum(reading.batches for reading in taken), sum(reading.steps for reading in taken)
            figures = [counts.messages / batches, counts.all_commands / steps, counts.requests / steps]
            shown = [f"{figure:.2f}" for figure in figures]
            lines.append([workload.title, row, *shown, _commands(counts, batches)])
    return _section("What it costs Redis", header, lines, HOW_COUNTED)


def _commands(counts: RedisCounts, per: float) -> str:
    shown = counts.commands.most_common(COMMANDS_SHOWN) if per else []
    return ", ".join(f"{name} {calls / per:.1f}" for name, calls in shown)


def _idle(readings: Readings) -> str:
    header = ["peer", "worker", "PSS MB", "idle s", "Redis commands/s of all its workers", "of these"]
    lines = [
        [
            one.row,
            worker,
            f"{pss_mb:.1f}",
            f"{one.idle_s:g}",
            f"{one.commands_per_s:.1f}",
            _commands(one.counts, one.idle_s),
        ]
        for one in readings.idle
        for worker, pss_mb in one.pss_mb.items()
    ]
    how = "After all workloads. PSS of parent and children together, from `/proc/*/smaps_rollup`, in 10^6 bytes."
    return _section("Idle workers", header, lines, how)


def _targets(verdicts: Sequence[Verdict]) -> str:
    said = "\n".join(map(str, verdicts)) or "no figures of a target were measured"
    return f"## Targets\n\n```\n{said}\n```"


def _section(title: str, header: Sequence[str], lines: Sequence[Sequence[str]], how: str = "") -> str:
    if not lines:
        return ""
    parts = [f"## {title}", how, table(header, lines)]
    return "\n\n".join(part for part in parts if part)


def _titled(workload: Workload) -> str:
    return f"{workload.title} (limit {workload.limit_ms})" if workload.limit_ms else workload.title


def _of_celery(one: Summary, summaries: dict[str, Summary]) -> str:
    celery = summaries.get(CELERY)
    return f"{one.median / celery.median:.3f}" if celery else ""
