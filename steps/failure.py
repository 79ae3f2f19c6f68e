"""Puts what went wrong with a step into the form its outcome keeps: type, message and bounded details."""

import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import Final

from steps.outcome import OutcomeError
from steps.problem import Problem

MAX_TRACEBACK_BYTES: Final = 4096
"""What the details of an error keep of its traceback: the end, where the failing line is."""

MAX_MESSAGE_BYTES: Final = 4096
"""What an error keeps of its message: the beginning."""

TRACEBACK_FRAMES: Final = 20
"""Innermost frames looked at; a runaway recursion has a thousand that all say the same."""

_CALLING_MODULE: Final = "steps.calling"


def error_of(error: BaseException) -> OutcomeError:
    """Return an exception as an outcome keeps it: its type's name, its message, the end of its traceback."""
    shown = _without_our_frames(error.__traceback__)
    lines = traceback.format_exception(type(error), error, shown, limit=-TRACEBACK_FRAMES)
    details = {"traceback": _utf8("".join(lines))[-MAX_TRACEBACK_BYTES:].decode("utf-8", "ignore")}
    return OutcomeError(type(error).__name__, _message_of(error), details)


def error_of_problems(kind: str, problems: Sequence[Problem]) -> OutcomeError:
    """Return problems as an error of that kind; its details list each with its path."""
    listed = [{"path": one.path, "message": _bounded(one.message)} for one in problems]
    return OutcomeError(kind, _bounded("; ".join(str(one) for one in problems)), {"problems": listed})


def _without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_globals.get("__name__") == _CALLING_MODULE:
        trace = trace.tb_next
    return trace


def _message_of(error: BaseException) -> str:
    try:
        return _bounded(str(error))
    except Exception:  # noqa: BLE001  # a message that can't be had must not cost the outcome
        return f"(the message of this {type(error).__name__} can't be read)"


def _bounded(text: str) -> str:
    return _utf8(text)[:MAX_MESSAGE_BYTES].decode("utf-8", "ignore")


def _utf8(text: str) -> bytes:
    """Encode any text; a lone surrogate is written as its escape."""
    return text.encode("utf-8", "backslashreplace")
