"""One child process kept running: on a thread of its own, started again when it dies, stopped whole."""

import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from producer.launcher import leash
from producer.launcher.sessions import MARK_VARIABLE, end_session, send

KILL_WAIT_S: Final = 3.0
"""How long a child may take to vanish after SIGKILL before its thread is given up."""

TAIL_BYTES: Final = 2000
"""How much of the end of a child's log an error message quotes."""

NOT_STARTED: Final = 127
"""Exit code noted when the process could not be started at all (as a shell has it)."""

STANDARD_ERROR: Final = 2
"""Descriptor that a child without a log writes to; standard output is left to this process."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Restart:
    """When a dead child is started again: after ``delay_s``, doubling up to ``cap_s`` while it dies early."""

    delay_s: float
    cap_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to start.

    Args:
        arguments: The command line; the first one is an absolute path.
        environment: All of its variables.
        cwd: Its working folder.
        log: The file that it writes to; None: the standard error of this process.
        held: Descriptors that it keeps open.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    cwd: Path
    log: Path | None = None
    held: Sequence[int] = ()


@dataclass(slots=True)
class _State:
    process: subprocess.Popen[bytes] | None = None
    exits: list[int] = field(default_factory=list)
    survivors: list[int] = field(default_factory=list)


class Child:
    """A process in a session of its own that ends with this process, and is started again when it dies.

    The kernel ends a child with the *thread* that started it; so each child has a thread that lives as long
    as the child does, and whoever calls `start` may end.

    Args:
        name: What messages call it.
        command: What to start.
        restart: When to start it again; None: never.
        on_exit: Called with the child and its exit code (negative: the signal) after each end not asked for.
    """

    def __init__(
        self,
        name: str,
        command: Command,
        *,
        restart: Restart | None,
        on_exit: Callable[["Child", int], None] | None = None,
    ) -> None:
        self.name = name
        self._command = command
        self._restart = restart
        self._on_exit = on_exit
        self._mark = secrets.token_hex(8)
        self._owner_pid = os.getpid()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._state = _State()
        self._thread = threading.Thread(target=self._tend, name=f"child {name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """Pid of the running process; None between an end and the next start."""
        process = self._state.process
        return None if process is None else process.pid

    @property
    def is_tended(self) -> bool:
        """Whether it runs or will run again."""
        return self._thread.is_alive()

    @property
    def exits(self) -> Sequence[int]:
        """Exit codes of all ends so far, oldest first."""
        return tuple(self._state.exits)

    @property
    def survivors(self) -> Sequence[int]:
        """Processes that it started and that outlived SIGKILL."""
        return tuple(self._state.survivors)

    def start(self) -> None:
        """Start the process; returns at once."""
        self._thread.start()

    def ask_to_stop(self, signum: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to the process itself, not to its children, and start it no more; returns at once."""
        if os.getpid() != self._owner_pid:
            return  # A fork of the owner does not own the child.
        with self._lock:
            self._stopping.set()
            if self._state.process is not None:
                send(self._state.process.pid, signum)

    def start_no_more(self) -> None:
        """Let the process run, and be over for good when it ends."""
        self._stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Wait until it and all that it started are gone; False when they are not within ``timeout_s``."""
        if self._thread.is_alive():
            self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def kill(self) -> None:
        """Kill it and wait until it and all that it started are gone."""
        self.ask_to_stop(signal.SIGKILL)
        self.join(KILL_WAIT_S)

    def log_tail(self) -> str:
        """Return the end of its log, or nothing where it has none."""
        if self._command.log is None or not self._command.log.exists():
            return ""
        with self._command.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            return log.read().decode(errors="replace").strip()

    def _tend(self) -> None:
        """Start and await the process until it shall not run again: the life of the child's thread."""
        delay_s = self._restart.delay_s if self._restart else 0.0
        while not self._stopping.is_set():
            started = time.monotonic()
            code = self._run_once()
            if self._stopping.is_set() or self._restart is None:
                return
            if self._on_exit is not None:
                self._on_exit(self, code)
            lived_s = time.monotonic() - started
            delay_s = self._restart.delay_s if lived_s > self._restart.cap_s else delay_s
            self._stopping.wait(delay_s)
            delay_s = min(delay_s * 2, self._restart.cap_s)

    def _run_once(self) -> int:
        try:
            process = self._begin()
        except OSError as error:
            _log.error("%s could not be started: %s", self.name, error)
            self._state.exits.append(NOT_STARTED)
            return NOT_STARTED
        return 0 if process is None else self._await_end(process)

    def _begin(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._stopping.is_set():
                return None
            self._state.process = _spawn(self._command, self._mark)
            return self._state.process

    def _await_end(self, process: subprocess.Popen[bytes]) -> int:
        _wait_unreaped(process.pid)
        # The ended process is not reaped yet, so nobody else can have its pid: its session is surely ours.
        self._state.survivors += end_session(process.pid, self._mark)
        with self._lock:
            code = process.wait()
            self._state.process = None
        self._state.exits.append(code)
        _log.debug("%s ended with code %s", self.name, code)
        return code


def _wait_unreaped(pid: int) -> None:
    """Block until the process has ended, without reaping it."""
    # Where somebody else reaped it (a program that ignores SIGCHLD), it has ended all the same.
    with suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def _spawn(command: Command, mark: str) -> subprocess.Popen[bytes]:
    leashed = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command.arguments]
    with _output(command.log) as output:
        return subprocess.Popen(
            leashed,
            env={**command.environment, MARK_VARIABLE: mark},
            cwd=command.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=tuple(command.held),
        )


@contextmanager
def _output(log: Path | None) -> Iterator[int]:
    if log is None:
        yield STANDARD_ERROR
        return
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
