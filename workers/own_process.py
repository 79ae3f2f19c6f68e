"""Runs attempts in processes of their own, for a worker that has threads."""

import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import ceil, inf
from typing import Final

from steps.attempt import Attempt, Raised, ValueLimits
from steps.side_by_side import Elsewhere
from workers.own_process_line import Line, Tell
from workers.own_process_server import FORK
from workers.own_process_wire import Order
from workers.pulse import Pulse

logger = logging.getLogger(__name__)

START_WITHIN_S: Final = 30.0
"""How long the process of a step may take to begin; nearly all of it is for importing the steps, once a worker."""

TRIES: Final = 2
"""How often a process is asked for where there was none."""

SERVER_ENDS_WITHIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Within:
    """Runs attempts of a run that has until ``run_deadline``."""

    processes: "OwnProcesses"
    run_deadline: float | None

    def submit(self, attempt: Attempt, tell: Tell) -> None:
        self.processes.submit(attempt, tell, run_deadline=self.run_deadline)

    def stop(self, attempt: Attempt, reason: str) -> None:
        self.processes.stop(attempt, reason)


class OwnProcesses:
    """Processes for single attempts, each forked by a server process that has imported the steps and has no threads.

    One thread starts that server and waits for all of them: no step thread and no event loop does.

    Args:
        limits: What a value must keep to.
        environment: Of the server and the steps; that of this process if left out.
        pulse: What says whether this process stands still; steps end where it says so for too long.
    """

    def __init__(
        self, *, limits: ValueLimits, environment: Mapping[str, str] | None = None, pulse: Pulse | None = None
    ) -> None:
        self._limits = limits
        self._pulse = pulse
        self._environment = dict(os.environ if environment is None else environment)
        self._folder = os.getcwd()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._commands: deque[Callable[[], None]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._lines: dict[int, Line] = {}
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._is_closed = False
        self._has_ended = threading.Event()

    def within(self, run_deadline: float | None) -> Elsewhere:
        """Return what runs attempts of a run that has until then, by ``time.monotonic``; None: it has no limit."""
        return _Within(self, run_deadline)

    def warm(self) -> None:
        """Start the server now rather than for the first attempt."""
        self._tell_thread(self._ensure_server)

    def submit(self, attempt: Attempt, tell: Tell, *, run_deadline: float | None = None) -> None:
        """Run an attempt; ``tell`` is called once with how it ended, and when, on the thread of these processes.

        Raises:
            RuntimeError: There is no thread or no descriptor to be had for it.
        """
        try:
            line = Line(attempt, Order.of(attempt, self._limits, run_deadline), tell)
        except OSError as error:
            raise RuntimeError(f"no process can be started for step {attempt.call.name}: {error}") from error
        self._tell_thread(lambda: self._offer(line))

    def stop(self, attempt: Attempt, reason: str) -> None:
        """Have an attempt stopped, softly at first."""
        self._tell_thread(lambda: self._stop(attempt, reason))

    def close(self, timeout_s: float = SERVER_ENDS_WITHIN_S) -> None:
        """End all processes at once; what becomes of their attempts is not told. Returns when they are gone."""
        with self._lock:
            is_running = self._thread is not None
        if is_running:
            self._tell_thread(self._close)
            self._has_ended.wait(timeout_s)

    # on the thread ------------------------------------------------------------------------------------------------

    def _tell_thread(self, command: Callable[[], None]) -> None:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="stepline-own-processes", daemon=True)
                thread.start()
                self._thread = thread
        self._commands.append(command)
        os.eventfd_write(self._wake, 1)

    def _work(self) -> None:
        self._poll.register(self._wake, select.POLLIN)
        while not (self._is_closed and not self._lines):
            try:
                self._turn()
            except Exception:  # without this thread no attempt would ever end
                logger.exception("processes of steps could not be looked after")
        self._end_server()
        self._has_ended.set()

    def _turn(self) -> None:
        for descriptor, _ in self._poll.poll(self._pause_ms()):
            if descriptor == self._wake:
                self._obey()
            elif descriptor in self._lines:
                self._hear(descriptor)
        self._end_late()

    def _pause_ms(self) -> int | None:
        late_at = min((line.late_at for line in self._lines.values()), default=inf)
        return None if late_at == inf else max(0, ceil((late_at - time.monotonic()) * 1000))

    def _obey(self) -> None:
        os.eventfd_read(self._wake)
        while self._commands:
            self._commands.popleft()()

    def _offer(self, line: Line) -> None:
        if self._is_closed:
            return
        try:
            descriptor = line.offer(self._fork)
        except OSError as error:
            self._again(line, error)
            return
        line.late_at = time.monotonic() + START_WITHIN_S
        self._lines[descriptor] = line
        self._poll.register(descriptor, select.POLLIN)

    def _fork(self, descriptors: tuple[int, int, int]) -> None:
        self._ensure_server()
        assert self._control is not None
        socket.send_fds(self._control, [FORK], descriptors)

    def _again(self, line: Line, error: OSError) -> None:
        """There is no process for it: ask a new server, or give up."""
        if line.tries < TRIES:
            self._end_server()  # one that is dying may still seem to live
            self._offer(line)
            return
        name = line.attempt.call.name
        logger.error("no process could be started for step %s: %s", name, error)
        line.refuse(Raised(ChildProcessError(f"no process could be started for step {name}: {error}")))

    def _hear(self, descriptor: int) -> None:
        line = self._lines[descriptor]
        if not line.hear():
            self._finish(descriptor, line)

    def _finish(self, descriptor: int, line: Line) -> None:
        del self._lines[descriptor]
        self._poll.unregister(descriptor)
        if self._is_closed:
            line.close()
        elif line.has_begun:
            line.end()
        else:
            self._again(line, ChildProcessError("the process that starts them ended; its log says why"))

    def _end_late(self) -> None:
        now = time.monotonic()
        for descriptor, line in [item for item in self._lines.items() if item[1].late_at <= now]:
            if line.is_given_up:
                self._finish(descriptor, line)
            elif line.has_begun:
                line.give_up()
            else:
                logger.error("no process has begun for step %s within its time", line.attempt.call.name)
                line.late_at = inf
                self._end_server()

    def _stop(self, attempt: Attempt, reason: str) -> None:
        for line in self._lines.values():
            if line.attempt is attempt:
                line.stop(reason)

    def _close(self) -> None:
        self._is_closed = True
        for line in self._lines.values():
            line.kill()

    # the server ---------------------------------------------------------------------------------------------------

    def _ensure_server(self) -> None:
        """Start the server where there is none; by this thread, with whose end it would be killed."""
        if self._server is not None and self._server.poll() is None:
            return
        self._end_server()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        paths = ["-P"] if sys.flags.safe_path else []  # its imports are to find what ours have found
        program = ["-m", "workers.own_process_server", str(theirs.fileno()), str(os.getpid())]
        descriptors = [theirs.fileno()]
        if self._pulse is not None:
            program.append(str(self._pulse.descriptor))
            descriptors.append(self._pulse.descriptor)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, *paths, *program],
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,
            )
        self._control = ours

    def _end_server(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._server is not None:
            with suppress(ProcessLookupError):
                self._server.kill()
            self._server.wait()
        self._server = self._control = None
