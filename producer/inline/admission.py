"""Bounds how many executions the in-process engines of this process run at once."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from steps.errors import QueueFull

INLINE: Final = "inline"
"""What stands for the queue's name where there is none."""


class ExecutionsFull(QueueFull):
    """As many in-process executions run as are allowed; nothing was run."""

    def __str__(self) -> str:
        """Return how many run and what may be done."""
        return (
            f"{self.pending} in-process executions run and {self.limit} are allowed; execute again later, "
            f"submit to workers, or raise STEPLINE_INLINE_EXECUTIONS"
        )


class _Admission:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.active = 0


_admission = _Admission()


@contextmanager
def admitted(limit: int) -> Iterator[None]:
    """Hold one of ``limit`` places for the block.

    Raises:
        ExecutionsFull: All are taken.
    """
    admission = _admission
    with admission.lock:
        if admission.active >= limit:
            raise ExecutionsFull(INLINE, admission.active, limit)
        admission.active += 1
    try:
        yield
    finally:
        with admission.lock:
            admission.active -= 1


def active_executions() -> int:
    """Return how many executions run in this process now."""
    return _admission.active


def _forget_after_fork() -> None:
    global _admission
    _admission = _Admission()  # the executions run on in the parent only


os.register_at_fork(after_in_child=_forget_after_fork)
