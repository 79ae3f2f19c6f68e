"""The timeline of a run: one bar a step, from its start to its end, all on one scale."""

import math
from typing import Final

from rich.table import Table
from rich.text import Text

from examples.view_switch.views import Timed
from producer.cli.tables import STYLES
from steps.outcome import Outcome

WIDTH: Final = 60
"""Columns that the longest time takes where the terminal has room for them."""

BESIDE: Final = 50
"""Columns for what stands beside the bars: an id and a time."""


def timeline(timed: Timed, *, full_ms: float, columns: int) -> Table:
    """Return the bars of a run; ``full_ms`` milliseconds are `WIDTH` columns, less on a terminal of few columns."""
    width = max(WIDTH // 4, min(WIDTH, columns - BESIDE))
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(width=width)
    table.add_column(justify="right", no_wrap=True)
    for outcome in timed.result.outcomes:
        table.add_row(outcome.id, *_bar(outcome, timed.submitted_ms, full_ms, width))
    return table


def _bar(outcome: Outcome, submitted_ms: float, full_ms: float, width: int) -> tuple[Text, str]:
    if outcome.started_ms is None or outcome.ran_ms is None:
        return Text(""), "did not start"
    start_ms = max(0.0, outcome.started_ms - submitted_ms)
    first = min(width - 1, math.floor(start_ms / full_ms * width))
    columns = max(1, math.ceil(outcome.ran_ms / full_ms * width))
    bar = "█" * min(columns, width - first)
    return Text(
        " " * first + bar, style=STYLES[outcome.status]
    ), f"{start_ms:.0f} to {start_ms + outcome.ran_ms:.0f} ms"
