"""Tables for people: everything that comes from steps is shown as plain text, never as markup."""

import json
import sys
from collections.abc import Sequence
from typing import Final, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from steps.outcome import Outcome

FILE_WIDTH: Final = 200
"""Columns where output is no terminal and so has no width of its own."""

VALUES_WIDTH: Final = 160
"""From this width on, values and errors stand in the table; below, errors stand under it."""

SHOWN_CHARS: Final = 60
"""How much of a value or of an error's message a table shows."""

STYLES: Final = {
    "succeeded": "green",
    "skipped": "dim",
    "failed": "red",
    "timed_out": "red",
    "cancelled": "yellow",
    "lost": "red",
}

OUTCOME_HEADS: Final = ("id", "outcome", "class (rule)", "queue", "lane", "worker", "tries", "queued ms", "ran ms")
VALUE_HEAD: Final = "value or error"
GIVING_WAY: Final = ("class (rule)", "worker", "reason", VALUE_HEAD)
"""Columns that are folded to `NARROW_CHARS` where the terminal is narrower than the table."""

WHOLE: Final = ("run", "holder")
"""Columns that are never folded: ids of runs, which people copy."""

ROOMY_WIDTH: Final = 100
"""From this width on, tables of runs and plans have all their columns."""

NARROW_CHARS: Final = 14
"""Room for ``non-critical``, and for the rule under it."""

READABLE_WIDTH: Final = 72
"""A terminal narrower than this wraps the lines itself; from here on the table's cells are folded to fit."""

MOST_WIDTH: Final = 100_000
"""Columns that no table reaches."""


def terminal(*, on_error: bool = False) -> Console:
    """Return a console on standard output (or standard error)."""
    stream = sys.stderr if on_error else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else FILE_WIDTH, highlight=False)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, styles: Sequence[str | None] = ()) -> None:
    """Print rows of text under their heads on standard output; ``styles`` holds one style a row.

    Nothing is cropped: where the terminal is narrower than the table, its cells are folded.
    """
    console = terminal()
    table = _table(heads, rows, styles, is_narrow=False)
    if _width(table) > console.width:
        table = _table(heads, rows, styles, is_narrow=True)
    if console.width < READABLE_WIDTH:
        console.width = max(console.width, _width(table))
    console.print(table)


def is_roomy() -> bool:
    """Return whether standard output is wide enough for all columns of a table of runs or of a plan."""
    return terminal().width >= ROOMY_WIDTH


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Print named facts on standard output, one a line, the names in a column of their own."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in facts:
        grid.add_row(Text(printable(name)), Text(printable(text)))
    terminal().print(grid)


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str | None], *, is_narrow: bool
) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for head in heads:
        justify: Literal["right", "left"] = "right" if head.endswith(" ms") else "left"
        width = NARROW_CHARS if is_narrow and head in GIVING_WAY else None
        least = max(map(len, head.split()))
        is_whole = justify == "right" or head in WHOLE
        table.add_column(head, overflow="fold", justify=justify, min_width=least, max_width=width, no_wrap=is_whole)
    for number, row in enumerate(rows):
        table.add_row(*[Text(printable(cell)) for cell in row], style=styles[number] if styles else None)
    return table


def _width(table: Table) -> int:
    """Return the columns that a table takes when none of its lines is wrapped or cropped."""
    unbounded = Console(width=MOST_WIDTH)
    return Measurement.get(unbounded, unbounded.options, table).maximum


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print a table of outcomes, one a line, in the order given, and the errors that have no room in it."""
    has_room = terminal().width >= VALUES_WIDTH
    heads = (*OUTCOME_HEADS, VALUE_HEAD) if has_room else OUTCOME_HEADS
    rows = [outcome_row(outcome)[: len(heads)] for outcome in outcomes]
    print_table(heads, rows, styles=[STYLES[outcome.status] for outcome in outcomes])
    for outcome in () if has_room else outcomes:
        if outcome.error is not None:
            terminal().print(Text(printable(f"{outcome.id}: {summary(outcome)}"), style=STYLES[outcome.status]))


def outcome_row(outcome: Outcome) -> tuple[str, ...]:
    """Return the cells of an outcome, for `OUTCOME_HEADS` and `VALUE_HEAD`."""
    kind = "critical" if outcome.critical else "non-critical"
    return (
        outcome.id,
        outcome.status,
        f"{kind} ({outcome.rule})",
        outcome.queue,
        outcome.lane or "-",
        outcome.worker or "-",
        str(outcome.attempts),
        milliseconds(outcome.queued_ms),
        milliseconds(outcome.ran_ms),
        summary(outcome),
    )


def summary(outcome: Outcome) -> str:
    """Return the value, or the error's type and message, cut to `SHOWN_CHARS`."""
    if outcome.error is not None:
        return cut(f"{outcome.error.type}: {outcome.error.message}")
    return cut(json.dumps(outcome.value, ensure_ascii=False))


def cut(text: str) -> str:
    """Return a text on one line, cut to `SHOWN_CHARS`."""
    line = " ".join(text.split("\n"))
    return line if len(line) <= SHOWN_CHARS else f"{line[: SHOWN_CHARS - 1]}…"


def milliseconds(value: float | None) -> str:
    """Return a time with one decimal, or a dash where there is none."""
    return "-" if value is None else f"{value:.1f}"


def printable(text: str) -> str:
    """Return the text with control characters escaped: a step's message must not steer the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)
