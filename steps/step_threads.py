"""The threads on which the blocking steps of a process run."""

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from steps.attempt import Attempt
from steps.zombies import Zombies

IDLE_S: Final = 60.0
"""A thread that had nothing to do for this long, in seconds, ends."""

Job = tuple[Callable[[Attempt], None], Attempt]


class StepThreads:
    """Daemon threads, as many as there are jobs at a time, reused last in, first out; idle ones end at last.

    One thread at a time is woken. It takes a job and, where more wait, wakes the next one before it begins.
    So steps that block all get a thread at once, while steps that return at once are run in a row by the
    first thread awake, without a change of threads for each.

    Args:
        idle_s: How long an idle thread waits for work, in seconds.
    """

    def __init__(self, *, idle_s: float = IDLE_S) -> None:
        self.zombies: Final = Zombies()
        self.idle_s: Final = idle_s
        self._lock = threading.Lock()
        self._jobs: deque[Job] = deque()
        self._idle: list[_StepThread] = []
        self._is_waking = False

    def submit(self, run: Callable[[Attempt], None], attempt: Attempt) -> None:
        """Have ``run(attempt)`` called on a thread; it must not raise.

        Raises:
            RuntimeError: No further thread can be started; the job is not run.
        """
        with self._lock:
            if not self._is_waking:
                self._wake_one()
            self._jobs.append((run, attempt))

    def next_job(self, thread: "_StepThread", *, was_woken: bool) -> Job | None:
        """Return a job for this thread, or None after noting that it is idle."""
        with self._lock:
            if was_woken:
                self._is_waking = False
            if not self._jobs:
                self._idle.append(thread)
                return None
            job = self._jobs.popleft()
            if self._jobs and not self._is_waking:
                self._wake_one_if_possible()
            return job

    def retire(self, thread: "_StepThread") -> bool:
        """Return whether an idle thread may end; not if it was woken just now."""
        with self._lock:
            if thread not in self._idle:
                return False
            self._idle.remove(thread)
            return True

    def _wake_one(self) -> None:
        if self._idle:
            self._idle.pop().wake()
        else:
            _StepThread(self).start()
        self._is_waking = True

    def _wake_one_if_possible(self) -> None:
        with suppress(RuntimeError):  # none to be had: the threads there are come back for the jobs left
            self._wake_one()


class _StepThread:
    """One thread and the alarm it sleeps on."""

    __slots__ = ("_alarm", "_threads")

    def __init__(self, threads: StepThreads) -> None:
        self._threads = threads
        self._alarm = threading.Lock()
        self._alarm.acquire()

    def start(self) -> None:
        threading.Thread(target=self._work, name="stepline-step", daemon=True).start()

    def wake(self) -> None:
        self._alarm.release()

    def _work(self) -> None:
        was_woken = True
        while True:
            job = self._threads.next_job(self, was_woken=was_woken)
            was_woken = False
            if job is not None:
                run, attempt = job
                run(attempt)
                del job, run, attempt  # an idle thread must not keep the last step's values alive
                continue
            if not self._alarm.acquire(timeout=self._threads.idle_s):
                if self._threads.retire(self):
                    return
                self._alarm.acquire()
            was_woken = True


_shared: StepThreads | None = None
_shared_lock = threading.Lock()


def shared_threads() -> StepThreads:
    """Return the threads of this process, made on first use; a forked child makes its own."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = StepThreads()
        return _shared


def _forget_after_fork() -> None:
    global _shared, _shared_lock
    _shared, _shared_lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_after_fork)
