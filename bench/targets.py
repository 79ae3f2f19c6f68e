"""What Stepline promises of its speed, and whether it was kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench.readings import Readings
from bench.rows import CELERY, STEPLINE
from bench.workloads import WORKLOADS, Workload

VIEW_OF_LIMIT: Final = 1.06
"""The ten-sleep view takes at most so many times its longest sleep."""

NOOP100_OF_CELERY: Final = 1 / 5
"""A hundred no-op steps take at most this share of plain Celery's time."""

NOOP1_OF_CELERY: Final = 1.0
"""One no-op step is no slower than with plain Celery."""

WORKER_MB: Final = 100.0
"""An idle worker with its children takes less than this, in MB."""

_BY_NAME: Final = {workload.name: workload for workload in WORKLOADS}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a target is met, and the figures that say so."""

    is_met: bool
    said: str

    def __str__(self) -> str:
        return f"{'PASS' if self.is_met else 'FAIL'}  {self.said}"


def judge(readings: Readings) -> list[Verdict]:
    """Return a verdict on each target whose figures were measured."""
    return [*_judge_view(readings), *_judge_noops(readings), *_judge_memory(readings)]


def _judge_view(readings: Readings) -> Iterator[Verdict]:
    view = _BY_NAME["view"]
    median, limit_ms = _median(readings, view, STEPLINE), view.limit_ms
    if median is not None and limit_ms is not None:
        most = VIEW_OF_LIMIT * limit_ms
        said = f"{view.title}: median {median:.1f} ms, at most {most:.1f} ({VIEW_OF_LIMIT:g} times {limit_ms} ms)"
        yield Verdict(median <= most, said)


def _judge_noops(readings: Readings) -> Iterator[Verdict]:
    for name, share, wanted in (
        ("noop100", NOOP100_OF_CELERY, "a fifth of plain Celery's"),
        ("noop1", NOOP1_OF_CELERY, "plain Celery's"),
    ):
        workload = _BY_NAME[name]
        ours, theirs = _median(readings, workload, STEPLINE), _median(readings, workload, CELERY)
        if ours is not None and theirs is not None:
            most = share * theirs
            said = f"{workload.title}: median {ours:.2f} ms, at most {most:.2f} ({wanted} {theirs:.2f} ms)"
            yield Verdict(ours <= most, said)


def _judge_memory(readings: Readings) -> Iterator[Verdict]:
    for idle in readings.idle:
        if idle.row == STEPLINE:
            for worker, pss_mb in idle.pss_mb.items():
                said = f"worker {worker} with its children, idle for {idle.idle_s:g} s: {pss_mb:.1f} MB PSS"
                yield Verdict(pss_mb < WORKER_MB, f"{said}, below {WORKER_MB:g}")


def _median(readings: Readings, workload: Workload, row: str) -> float | None:
    summary = readings.summaries(workload).get(row)
    return None if summary is None else summary.median
