"""Holds the coverage of lines and of branches each to a floor of its own; coverage.py knows one for both."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LINES_FLOOR: Final = 90.0
BRANCHES_FLOOR: Final = 85.0


@dataclass(frozen=True, slots=True)
class Coverage:
    """Percent of lines and branches that ran."""

    lines: float
    branches: float

    @property
    def is_enough(self) -> bool:
        """Whether both are at their floors or over them."""
        return self.lines >= LINES_FLOOR and self.branches >= BRANCHES_FLOOR

    def __str__(self) -> str:
        return (
            f"coverage: lines {self.lines:.1f}% (at least {LINES_FLOOR:g}%),"
            f" branches {self.branches:.1f}% (at least {BRANCHES_FLOOR:g}%)"
        )


def read_coverage(report: Path) -> Coverage:
    """Return the totals of a report that ``coverage json`` wrote.

    Raises:
        ValueError: Nothing was measured, which must not pass for full coverage.
    """
    totals = json.loads(report.read_text(encoding="utf-8"))["totals"]
    if not totals["num_statements"] or not totals["num_branches"]:
        raise ValueError(f"{report}: no line or no branch was measured")
    return Coverage(
        lines=100 * totals["covered_lines"] / totals["num_statements"],
        branches=100 * totals["covered_branches"] / totals["num_branches"],
    )
