"""Progress of an awaited run on standard error: a live display on a terminal, plain lines elsewhere."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from config.errors import SteplineError
from producer.cli.output import say
from producer.cli.tables import STYLES, milliseconds, printable, summary, terminal
from steps.outcome import Outcome

LAST_LINES_S: Final = 1.0
"""How long the display may take to show what has settled once the result is there."""


class Watched(Protocol):
    """What is shown of a run: how many steps it has, and their outcomes as they settle."""

    @property
    def total_steps(self) -> int:
        """Number of its steps."""

    def outcomes(self) -> Iterator[Outcome]:
        """Yield each outcome when it settles."""


@contextmanager
def shown_progress(run: Watched, *, lines: bool) -> Iterator[None]:
    """Show outcomes as they settle, for as long as the block lasts.

    Args:
        run: The run.
        lines: Whether plain lines are wanted where standard error is no terminal.
    """
    if sys.stderr.isatty():
        with _progress_bar() as progress, _beside(lambda: _advance(progress, run)):
            yield
    elif lines:
        with _beside(lambda: _print_lines(run)):
            yield
    else:
        yield


def line(outcome: Outcome, number: int, total: int) -> str:
    """Return what is said of a settled step: ``[2/6] GetChatStep succeeded in 12.1 ms on parallel-1``."""
    where = f" in {milliseconds(outcome.ran_ms)} ms on {outcome.worker}" if outcome.worker else ""
    why = f": {summary(outcome)}" if outcome.error else ""
    return printable(f"[{number}/{total}] {outcome.id} {outcome.status}{where}{why}")


@contextmanager
def _beside(show: Callable[[], None]) -> Iterator[None]:
    """Run ``show`` on a thread beside the block; the block's end waits `LAST_LINES_S` for it at most."""
    thread = threading.Thread(target=_without_errors, args=(show,), name="progress", daemon=True)
    thread.start()
    yield
    thread.join(LAST_LINES_S)


def _without_errors(show: Callable[[], None]) -> None:
    """Progress is an ornament: what goes wrong with the run is for ``gather`` to report."""
    with suppress(SteplineError, OSError):
        show()


def _print_lines(run: Watched) -> None:
    for number, outcome in enumerate(run.outcomes(), start=1):
        say(line(outcome, number, run.total_steps))


def _progress_bar() -> Progress:
    columns = TextColumn("running"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=terminal(on_error=True), transient=True)


def _advance(progress: Progress, run: Watched) -> None:
    task = progress.add_task("steps", total=run.total_steps)
    for number, outcome in enumerate(run.outcomes(), start=1):
        progress.console.print(Text(line(outcome, number, run.total_steps), style=STYLES[outcome.status]))
        progress.advance(task)
