"""What was measured, as plain data: one reading for each row, workload and round, and the workers' memory."""

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any

from bench.redis_counts import RedisCounts
from bench.rows import ROWS
from bench.samples import Summary
from bench.workloads import Workload

MS_PER_S = 1000.0
US_PER_S = 1_000_000.0


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Processor time in seconds.

    Args:
        producer_s: Of the process that submits and gathers.
        workers_s: Of the workers and their children.
        redis_s: Of Redis.
        machine_s: Of all programs on the machine.
        passed_s: How long that was by the clock.
    """

    producer_s: float = 0.0
    workers_s: float = 0.0
    redis_s: float = 0.0
    machine_s: float = 0.0
    passed_s: float = 0.0

    def __add__(self, other: "CpuTime") -> "CpuTime":
        return CpuTime(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def since(self, before: "CpuTime") -> "CpuTime":
        """Return what was taken after ``before``."""
        return CpuTime(*(mine - theirs for mine, theirs in zip(astuple(self), astuple(before), strict=True)))

    @property
    def others(self) -> float:
        """How many processors other programs kept busy."""
        own_s = self.producer_s + self.workers_s + self.redis_s
        return max(0.0, self.machine_s - own_s) / self.passed_s if self.passed_s else 0.0

    def us_per(self, steps: int) -> tuple[float, float, float]:
        """Return microseconds a step of producer, workers and Redis."""
        share = US_PER_S / steps
        return self.producer_s * share, self.workers_s * share, self.redis_s * share


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One workload in one round.

    Args:
        row: Which peer, and how.
        workload: Its name.
        seconds: Of each batch, or of all of them where several were under way together.
        batches: How many there were.
        steps: How many steps they had together.
        counts: What Redis did meanwhile.
        cpu: What it cost meanwhile.
    """

    row: str
    workload: str
    seconds: tuple[float, ...]
    batches: int
    steps: int
    counts: RedisCounts
    cpu: CpuTime


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleReading:
    """A peer's workers after they did nothing for a while.

    Args:
        row: Which peer.
        idle_s: How long they did nothing.
        pss_mb: Memory of each worker with its children, in MB, by the worker's name.
        counts: What Redis did meanwhile.
    """

    row: str
    idle_s: float
    pss_mb: dict[str, float]
    counts: RedisCounts

    @property
    def commands_per_s(self) -> float:
        """Commands that Redis carried out each second."""
        return self.counts.all_commands / self.idle_s if self.idle_s else 0.0


@dataclass(slots=True)
class Readings:
    """All that a benchmark measured.

    Attributes:
        all: One for each row, workload and round.
        idle: One for each peer, where memory was measured.
        versions: Of what took part, by name.
        orders: In which order the peers ran, round by round.
    """

    all: list[Reading] = field(default_factory=list)
    idle: list[IdleReading] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    orders: list[list[str]] = field(default_factory=list)

    @property
    def others(self) -> float:
        """How many processors other programs kept busy while it was measured."""
        return sum((reading.cpu for reading in self.all), CpuTime()).others

    def of(self, workload: Workload) -> dict[str, list[Reading]]:
        """Return the readings of a workload by row, in the order of `ROWS`."""
        found = [reading for reading in self.all if reading.workload == workload.name]
        rows = {row: [reading for reading in found if reading.row == row] for row in ROWS}
        return {row: readings for row, readings in rows.items() if readings}

    def summaries(self, workload: Workload) -> dict[str, Summary]:
        """Return for each row milliseconds a batch, or steps a second, of all rounds together."""
        return {row: summary_of(workload, readings) for row, readings in self.of(workload).items()}


def summary_of(workload: Workload, readings: Sequence[Reading]) -> Summary:
    """Summarise milliseconds a batch, or steps a second where the workload counts these."""
    if workload.is_throughput:
        return Summary.of(reading.steps / sum(reading.seconds) for reading in readings)
    return Summary.of(one * MS_PER_S for reading in readings for one in reading.seconds)


def as_document(readings: Readings) -> dict[str, Any]:
    """Return all readings as JSON has them."""
    return {
        "versions": readings.versions,
        "others": readings.others,
        "orders": readings.orders,
        "readings": [reading_document(reading) for reading in readings.all],
        "idle": [
            {"row": one.row, "idle_s": one.idle_s, "pss_mb": one.pss_mb, "redis": _counts_document(one.counts)}
            for one in readings.idle
        ],
    }


def reading_document(reading: Reading) -> dict[str, Any]:
    """Return a reading as JSON has it."""
    return {
        "row": reading.row,
        "workload": reading.workload,
        "seconds": reading.seconds,
        "batches": reading.batches,
        "steps": reading.steps,
        "redis": _counts_document(reading.counts),
        "cpu": asdict(reading.cpu),
    }


def _counts_document(counts: RedisCounts) -> dict[str, Any]:
    return {"commands": dict(counts.commands), "requests": counts.requests}
