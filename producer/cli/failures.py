"""What the user sees of an error: one clear message, or one JSON document, and the exit code."""

import os
import traceback
from typing import Any, Final

from config.errors import SettingsError, SteplineError
from producer.cli.output import emit_json, say
from producer.launcher.site_errors import SiteBusy, SiteError
from steps.errors import (
    BrokerUnavailable,
    DuplicateStep,
    GatherTimeout,
    InvalidBatch,
    InvalidStep,
    KeyConflict,
    Problem,
    QueueFull,
    RunUnknown,
    SubmitUnknown,
    UnfitRedis,
)

NOT_OK: Final = 1
BAD_INPUT: Final = 2
NO_BROKER: Final = 3
GATHER_TIMED_OUT: Final = 4
QUEUE_FULL: Final = 5
INTERRUPTED: Final = 130

TRACE_LEVEL: Final = "DEBUG"
"""With STEPLINE_LOG_LEVEL set to it, an error that is a defect of ours shows its traceback."""


class UsageError(SteplineError):
    """The command line says something that cannot be meant; the message says what can."""


class RunInterrupted(KeyboardInterrupt):
    """The user interrupted ``stepline run``; the run has been cancelled.

    Args:
        run_id: The run.
        cancelled: False when the broker could not be told.
    """

    def __init__(self, run_id: str, *, cancelled: bool) -> None:
        super().__init__(run_id, cancelled)
        self.run_id, self.cancelled = run_id, cancelled

    def __str__(self) -> str:
        """Return what became of the run."""
        if self.cancelled:
            return f"interrupted; run {self.run_id} is cancelled"
        return f"interrupted, and run {self.run_id} could not be cancelled: it goes on when the broker is back"


class RunOutOfReach(BrokerUnavailable):
    """The site went away while ``stepline run`` waited for a run that it had accepted.

    Args:
        run_id: The run.
        why: What the broker's failure was.
    """

    def __init__(self, run_id: str, why: str) -> None:
        super().__init__(run_id, why)
        self.run_id, self.why = run_id, why

    def __str__(self) -> str:
        """Return what is known of the run."""
        return f"{self.why}; run {self.run_id} was accepted: stepline status {self.run_id} when the site is back"


_CODES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], int], ...] = (
    (KeyboardInterrupt, INTERRUPTED),
    ((UsageError, SettingsError, InvalidBatch, InvalidStep, DuplicateStep, KeyConflict, RunUnknown), BAD_INPUT),
    (SiteBusy, BAD_INPUT),
    ((BrokerUnavailable, UnfitRedis, SubmitUnknown, SiteError), NO_BROKER),
    (GatherTimeout, GATHER_TIMED_OUT),
    (QueueFull, QUEUE_FULL),
)


def exit_code(error: BaseException) -> int:
    """Return the exit code that stands for an error."""
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), NOT_OK)


def report(error: BaseException, *, as_json: bool) -> None:
    """Tell the user of an error: on standard error, or as the one JSON document on standard output."""
    if as_json:
        emit_json(error_document(error))
    else:
        say(_message(error))
    # Read here, not from the settings: they may be what is wrong.
    if (
        not isinstance(error, (SteplineError, KeyboardInterrupt))
        and os.environ.get("STEPLINE_LOG_LEVEL") == TRACE_LEVEL
    ):
        traceback.print_exception(error)


def error_document(error: BaseException) -> dict[str, Any]:
    """Return ``{"error": {"type", "message", "problems"}}``, with ``run_id`` where there is a run."""
    problems: tuple[Problem, ...] = error.problems if isinstance(error, InvalidBatch) else ()
    fields: dict[str, Any] = {
        "type": "Interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__,
        "message": _message(error),
        "problems": [{"path": problem.path, "message": problem.message} for problem in problems],
    }
    if run_id := getattr(error, "run_id", None):
        fields["run_id"] = run_id
    return {"error": fields}


def _message(error: BaseException) -> str:
    match error:
        case SteplineError() | RunInterrupted():
            return str(error)
        case KeyboardInterrupt():
            return "interrupted"
        case OSError():
            return str(error)
        case _:
            shown = f"{type(error).__name__}: {error}"
            return f"internal error: {shown} (STEPLINE_LOG_LEVEL={TRACE_LEVEL} shows where)"
