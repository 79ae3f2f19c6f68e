"""What a comparison measured: the same work on both codes, turn by turn, and the ratios of the times."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Self

from bench.readings import CpuTime, Reading, reading_document
from bench.redis_counts import RedisCounts
from bench.workloads import WORKLOADS, Workload

COVERED: Final = 0.9
"""How likely the spread holds the true median ratio, where there are rounds enough for that."""

ROUNDS_FOR_SPREAD: Final = 5
"""So many: with fewer, not even a spread from the least to the most is as likely, and none can tell noise apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A turn: the same load on both, one right after the other."""

    round: int
    before: Reading
    after: Reading

    @property
    def ratio(self) -> float:
        """The time of a batch after, of that before: above 1 is slower."""
        return batch_s(self.after) / batch_s(self.before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """All turns of a comparison.

    Args:
        all: The turns.
        versions: Of what took part, by name, of ``before`` and ``after``.
        code: The folder of each package, of ``before`` and ``after``.
    """

    all: list[Pair] = field(default_factory=list)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    code: dict[str, dict[str, str]] = field(default_factory=dict)

    def of(self, workload: Workload) -> list[Pair]:
        """Return the turns of a workload."""
        return [pair for pair in self.all if pair.before.workload == workload.name]


class Judgement(Enum):
    """Whether a ratio is over the limit."""

    WITHIN = "within"
    UNCLEAR = "UNCLEAR"
    OVER = "OVER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How much longer a workload takes.

    Args:
        workload: Which.
        median: Of the ratios of all turns.
        least: Lower end of the spread of the rounds' own median ratios.
        most: Its upper end.
        rounds: The median ratio of each round.
    """

    workload: Workload
    median: float
    least: float
    most: float
    rounds: tuple[float, ...]

    @classmethod
    def of(cls, workload: Workload, pairs: Sequence[Pair]) -> Self:
        """Compute it from the turns of a workload."""
        numbers = sorted({pair.round for pair in pairs})
        rounds = [statistics.median(pair.ratio for pair in pairs if pair.round == number) for number in numbers]
        least, most = spread(rounds)
        median = statistics.median(pair.ratio for pair in pairs)
        return cls(workload=workload, median=median, least=least, most=most, rounds=tuple(rounds))

    def judge(self, limit: float) -> Judgement:
        """Say whether it is over a limit: beyond noise only where the whole spread is, of rounds enough."""
        if self.median <= limit:
            return Judgement.WITHIN
        is_beyond_noise = self.least > limit and len(self.rounds) >= ROUNDS_FOR_SPREAD
        return Judgement.OVER if is_beyond_noise else Judgement.UNCLEAR


def ratios(pairs: Pairs) -> list[Ratio]:
    """Return the ratio of each workload that was measured."""
    return [Ratio.of(workload, found) for workload in WORKLOADS if (found := pairs.of(workload))]


def spread(samples: Iterable[float]) -> tuple[float, float]:
    """Return an interval that holds the true median of what the samples are drawn from, whatever its shape.

    It goes from one of the smallest samples to one of the largest. It is left out as many at both ends as `COVERED`
    allows; below five samples none, and the interval is less likely to hold it.
    """
    ordered = sorted(samples)
    count, left_out = len(ordered), 0
    while left_out < (count - 1) // 2 and _coverage(count, left_out + 1) >= COVERED:
        left_out += 1
    return ordered[left_out], ordered[count - 1 - left_out]


def _coverage(count: int, left_out: int) -> float:
    """Return how likely the median is neither below nor above all samples but ``left_out``: it is coins that fall."""
    outside = 2 * sum(math.comb(count, heads) for heads in range(left_out + 1))
    return 1 - outside / float(2**count)


def batch_s(reading: Reading) -> float:
    """Return the median time of a batch in seconds, or the mean where several were under way together."""
    if len(reading.seconds) == reading.batches:
        return statistics.median(reading.seconds)
    return sum(reading.seconds) / reading.batches


@dataclass(frozen=True, slots=True)
class Cost:
    """What one side of all turns of a workload cost together."""

    batches: int
    steps: int
    counts: RedisCounts
    cpu: CpuTime

    @classmethod
    def of(cls, readings: Sequence[Reading]) -> Self:
        """Add the readings up."""
        return cls(
            batches=sum(reading.batches for reading in readings),
            steps=sum(reading.steps for reading in readings),
            counts=sum((reading.counts for reading in readings), RedisCounts()),
            cpu=sum((reading.cpu for reading in readings), CpuTime()),
        )

    def figures(self) -> tuple[float, float, float, float]:
        """Return messages, commands and requests a step, and microseconds of all processors a step."""
        counts = self.counts
        redis = (counts.messages / self.steps, counts.all_commands / self.steps, counts.requests / self.steps)
        return (*redis, sum(self.cpu.us_per(self.steps)))


def pairs_document(pairs: Pairs) -> dict[str, Any]:
    """Return all turns as JSON has them."""
    turns = [
        {"round": pair.round, "before": reading_document(pair.before), "after": reading_document(pair.after)}
        for pair in pairs.all
    ]
    return {"versions": pairs.versions, "code": pairs.code, "turns": turns}
