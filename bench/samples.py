"""The statistics of a row: median, 95th percentile, least and most."""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Summary:
    """Of ``count`` samples; all in the unit of the samples."""

    median: float
    p95: float
    least: float
    most: float
    count: int

    @classmethod
    def of(cls, samples: Iterable[float]) -> Self:
        """Summarise samples.

        Raises:
            ValueError: There are none.
        """
        ordered = sorted(samples)
        if not ordered:
            raise ValueError("there are no samples to summarise")
        return cls(
            median=statistics.median(ordered),
            p95=nearest_rank(ordered, 0.95),
            least=ordered[0],
            most=ordered[-1],
            count=len(ordered),
        )


def nearest_rank(ordered: list[float], share: float) -> float:
    """Return the smallest sample that at least ``share`` of all samples do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
