"""The one way of calling a step's code, for every kind of worker and for the engines."""

import os
from contextvars import Context
from inspect import iscoroutine
from typing import Any

from steps.attempt import Attempt, Raised, Returned
from steps.context import enter_step


def call_blocking(attempt: Attempt) -> Any:
    """Call the code of a blocking step here and return its value; context variables it sets stay its own."""
    return Context().run(_call, attempt)


def _call(attempt: Attempt) -> Any:
    enter_step(attempt.context)
    value = attempt.definition.new_callable()(**attempt.arguments)
    if iscoroutine(value):
        value.close()
        place = attempt.definition.place
        raise TypeError(f"{place} returned a coroutine: declare it with async def, or run it to its end")
    return value


async def call_coroutine(attempt: Attempt) -> Any:
    """Await the code of a coroutine step in the running task and return its value."""
    enter_step(attempt.context)
    return await attempt.definition.new_callable()(**attempt.arguments)


def end_of_blocking(attempt: Attempt) -> Returned | Raised:
    """Call the code of a blocking step here and return how it ended; nothing it raises gets past this.

    A process that the step forked and that comes back here ends: it must not go on as if it were the worker.
    """
    process = os.getpid()
    end: Returned | Raised
    try:
        end = Returned(call_blocking(attempt))
    except BaseException as error:  # noqa: BLE001  # SystemExit too is a failure of that step alone
        end = Raised(error)
    if os.getpid() != process:
        os._exit(isinstance(end, Raised))
    return end


async def end_of_coroutine(attempt: Attempt) -> Returned | Raised:
    """Await the code of a coroutine step and return how it ended; not even a cancellation gets past this."""
    try:
        return Returned(await call_coroutine(attempt))
    except BaseException as error:  # noqa: BLE001  # SystemExit too is a failure of that step alone
        return Raised(error)
