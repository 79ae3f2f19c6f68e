"""The event loop on which the coroutine steps of a process run."""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any, Final

from steps.attempt import Attempt
from steps.zombies import Zombies

CANCEL_GRACE_S: Final = 1.0
"""A coroutine that has not ended this long after its cancellation, in seconds, swallowed it: a zombie."""

CLOSE_S: Final = 1.0
"""How long closing waits for cancelled tasks, and for a thread that a step may be blocking, in seconds."""

Run = Callable[[Attempt], Coroutine[Any, Any, None]]


class StepLoop:
    """One asyncio loop on a daemon thread of its own, started on first use."""

    def __init__(self) -> None:
        self.zombies: Final = Zombies(CANCEL_GRACE_S)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._commands: deque[Callable[[], None]] = deque()
        self._is_called = False
        self._tasks: dict[Attempt, asyncio.Task[None]] = {}

    def submit(self, run: Run, attempt: Attempt) -> None:
        """Have ``run(attempt)`` awaited in a task of its own; it must not raise.

        Raises:
            RuntimeError: The loop's thread can't be started, or the loop was closed.
        """
        loop = self._loop or self._start()
        self._tell(loop, lambda: self._begin(loop, run, attempt))

    def cancel(self, attempt: Attempt) -> None:
        """Cancel the attempt's task, if it is still there."""
        if self._loop is not None:
            with suppress(RuntimeError):  # closed: it has cancelled all its tasks
                self._tell(self._loop, lambda: self._cancel(attempt))

    def close(self) -> None:
        """Cancel what still runs and end the loop with its thread."""
        if self._loop is None or self._thread is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2 * CLOSE_S)

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = _new_loop()
                thread = threading.Thread(target=self._work, args=(loop,), name="stepline-loop", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    loop.close()
                    raise
                self._loop, self._thread = loop, thread
            return self._loop

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        _here.is_step_loop = True
        try:
            loop.run_forever()
            left = list(self._tasks.values())
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=CLOSE_S))
        finally:
            loop.close()

    def _tell(self, loop: asyncio.AbstractEventLoop, command: Callable[[], None]) -> None:
        """Queue a command; the loop is woken once for all that are queued before it gets to them."""
        self._commands.append(command)
        if not self._is_called:
            self._is_called = True
            try:
                loop.call_soon_threadsafe(self._obey)
            except RuntimeError:
                self._is_called = False
                raise

    def _obey(self) -> None:
        self._is_called = False  # before looking: whoever comes too late to be seen now calls again
        while self._commands:
            self._commands.popleft()()

    def _begin(self, loop: asyncio.AbstractEventLoop, run: Run, attempt: Attempt) -> None:
        task = loop.create_task(run(attempt), context=Context())
        self._tasks[attempt] = task
        task.add_done_callback(lambda _: self._forget(attempt))

    def _cancel(self, attempt: Attempt) -> None:
        if (task := self._tasks.get(attempt)) is not None:
            task.cancel()

    def _forget(self, attempt: Attempt) -> None:
        del self._tasks[attempt]
        self.zombies.discard(attempt)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.new_event_loop()
    except OSError as error:
        raise RuntimeError(f"no event loop can be made: {error}") from error


_here: Final = threading.local()
_shared: StepLoop | None = None
_shared_lock = threading.Lock()
_inherited: Final[list[StepLoop]] = []


def shared_loop() -> StepLoop:
    """Return the loop of this process, started on first use; a forked child makes its own."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = StepLoop()
        return _shared


def is_on_step_loop() -> bool:
    """Whether the caller runs on the thread of a StepLoop, which must not be waited for from there."""
    return getattr(_here, "is_step_loop", False)


def _forget_after_fork() -> None:
    global _shared, _shared_lock
    if _shared is not None:
        _inherited.append(_shared)  # kept for ever: closing it would reach into the parent's selector
    _shared, _shared_lock = None, threading.Lock()
    _here.is_step_loop = False


os.register_at_fork(after_in_child=_forget_after_fork)
