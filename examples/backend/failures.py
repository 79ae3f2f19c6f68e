"""The one place where errors become HTTP answers.

What a step raised is none of them: it stands beside what the other steps returned, in an answer of its run.
"""

from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from config.errors import SteplineError
from examples.backend.models import ErrorAnswer, ProblemAnswer
from examples.backend.orchestration import UnknownView
from steps import (
    BrokerUnavailable,
    GatherTimeout,
    InvalidBatch,
    KeyConflict,
    QueueFull,
    RunUnknown,
    SubmitUnknown,
    UnfitRedis,
    UnknownStep,
)

RETRY_AFTER_S: Final = 1
"""When to come again after a refusal for want of room or of a broker."""

_CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (UnknownView, 404),
    (RunUnknown, 404),
    (UnknownStep, 503),  # Clients name views and tasks, never steps: the site's workers lack a module.
    (InvalidBatch, 422),
    (KeyConflict, 409),
    (QueueFull, 503),
    (BrokerUnavailable, 503),
    (UnfitRedis, 503),
    (SubmitUnknown, 503),  # It may have been accepted: the answer holds the id of the run.
    (GatherTimeout, 504),  # It goes on: likewise.
)

_RETRIED: Final = (QueueFull, BrokerUnavailable)
"""Told when to come again. A refused submit has begun nothing, and what else is asked may be asked twice.

One that also waits may have begun a run when Redis went away: that goes on, and the next request begins another."""


def answer_failures(app: FastAPI) -> None:
    """Have an app answer every error in one shape: ``{"error": {type, message, problems, run_id}}``."""
    app.add_exception_handler(SteplineError, _answer)
    app.add_exception_handler(UnknownView, _answer)
    app.add_exception_handler(RequestValidationError, _answer_bad_request)
    app.add_exception_handler(HTTPException, _answer_http)


def status_code(error: Exception) -> int:
    """Return the HTTP status that stands for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), 500)


async def _answer(_: Request, error: Exception) -> JSONResponse:
    problems = error.problems if isinstance(error, InvalidBatch) else ()
    run_id = getattr(error, "run_id", None)
    answer = ErrorAnswer(
        type=type(error).__name__,
        message=str(error),
        problems=[ProblemAnswer(path=problem.path, message=problem.message) for problem in problems],
        run_id=run_id,
    )
    headers = {"Retry-After": str(RETRY_AFTER_S)} if isinstance(error, _RETRIED) else {}
    return _response(answer, status_code(error), headers)


async def _answer_bad_request(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = [ProblemAnswer(path=".".join(map(str, one["loc"])), message=str(one["msg"])) for one in error.errors()]
    message = "; ".join(f"{problem.path}: {problem.message}" for problem in problems)
    return _response(ErrorAnswer(type="InvalidRequest", message=message, problems=problems), 422)


async def _answer_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _response(ErrorAnswer(type="HttpError", message=error.detail), error.status_code, error.headers)


def _response(answer: ErrorAnswer, code: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": answer.model_dump(mode="json")}, code, headers)
