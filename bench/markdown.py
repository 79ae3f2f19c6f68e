"""Markdown tables that are readable as plain text too."""

from collections.abc import Sequence
from typing import Final

MIN_WIDTH: Final = 3
"""Of the dashes below a title."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; columns of figures, whose cells begin with a digit or are empty, are aligned to the right.

    The first column names the rows and is never one of figures.

    Raises:
        ValueError: A row has more or fewer cells than the header.
    """
    if any(len(row) != len(header) for row in rows):
        raise ValueError(f"every row of this table must have {len(header)} cells: {', '.join(header)}")
    columns = [[line[place] for line in (header, *rows)] for place in range(len(header))]
    padded = [_padded(cells, are_figures=place > 0 and _are_figures(cells[1:])) for place, cells in enumerate(columns)]
    return "\n".join(f"| {' | '.join(line)} |" for line in zip(*padded, strict=True))


def _are_figures(cells: Sequence[str]) -> bool:
    return all(cell[:1].isdigit() or not cell for cell in cells)


def _padded(cells: Sequence[str], *, are_figures: bool) -> list[str]:
    """Return the cells, all of the same width, and a rule below the first."""
    width = max(MIN_WIDTH, *map(len, cells))
    if are_figures:
        title, *others = [cell.rjust(width) for cell in cells]
        return [title, "-" * (width - 1) + ":", *others]
    title, *others = [cell.ljust(width) for cell in cells]
    return [title, "-" * width, *others]
