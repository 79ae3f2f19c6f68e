"""The process that forks those of the steps: ``python -m workers.own_process_server SOCKET_FD WORKER_PID [PULSE_FD]``.

A worker has threads, and a child forked from it could inherit a held lock. This process has none of them: it has
imported the steps, and does nothing but fork, once for each message on its socket.
"""

import gc
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from config.settings import load_settings
from steps.registry import load_step_modules
from workers.logs import set_up_logging
from workers.own_process_guard import adopt_orphans, children, guard, tie_to_parent
from workers.pulse import Pulse

FORK: Final = b"+"
"""The message: fork; with it come the line to the worker, the order, and the sheet for the report."""

DESCRIPTORS: Final = 3


def main(arguments: Sequence[str]) -> int:
    """Serve a worker until it ends."""
    control, worker_pid = socket.socket(fileno=int(arguments[0])), int(arguments[1])
    tie_to_parent(worker_pid)
    worker = os.pidfd_open(worker_pid)
    pulse = _pulse_of(*arguments[2:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)  # until a step listens
    adopt_orphans()
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    settings = load_settings()
    set_up_logging(settings)
    load_step_modules(settings.step_modules)
    gc.collect()
    gc.freeze()  # what is shared with the forks stays shared
    _Server(control, worker, pulse).serve()
    return 0


def _pulse_of(descriptor: str = "") -> Pulse | None:
    if not descriptor:
        return None
    os.set_inheritable(int(descriptor), False)
    return Pulse(int(descriptor))


class _Server:
    """Forks guards for as long as the worker lives.

    Args:
        control: Where it is told to fork.
        worker: The worker's pidfd.
        pulse: Says whether the worker stands still.
    """

    def __init__(self, control: socket.socket, worker: int, pulse: Pulse | None) -> None:
        self._control = control
        self._worker = worker
        self._pulse = pulse
        self._guards: dict[int, int] = {}
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(worker, select.POLLIN)

    def serve(self) -> None:
        """Return when the worker has ended, or wants no more."""
        while True:
            ready = {descriptor for descriptor, _ in self._poll.poll()}
            if self._worker in ready:
                return
            for guard_fd in ready & self._guards.keys():
                self._reap(guard_fd)
            if self._control.fileno() in ready and not self._fork():
                return

    def _fork(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, len(FORK), DESCRIPTORS)
        if not message:
            return False
        with suppress(OSError):  # no room for another process: the worker sees its end of the line closed
            pid = os.fork()
            if pid == 0:
                self._become_guard(descriptors)
            guard_fd = os.pidfd_open(pid)
            self._guards[guard_fd] = pid
            self._poll.register(guard_fd, select.POLLIN)
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _become_guard(self, descriptors: Sequence[int]) -> None:
        self._control.close()
        for guard_fd in self._guards:
            os.close(guard_fd)
        _guard(descriptors, self._worker, self._pulse)

    def _reap(self, guard_fd: int) -> None:
        """A guard has ended; what one that was killed has left behind ends too."""
        _, status = os.waitpid(self._guards.pop(guard_fd), 0)
        self._poll.unregister(guard_fd)
        os.close(guard_fd)
        while status and (orphans := set(children()) - set(self._guards.values())):
            for orphan in orphans:
                with suppress(ProcessLookupError, ChildProcessError):
                    os.kill(orphan, signal.SIGKILL)
                    os.waitpid(orphan, 0)


def _guard(descriptors: Sequence[int], worker: int, pulse: Pulse | None) -> None:
    line, order, report = descriptors
    code = 1
    try:
        guard(socket.socket(fileno=line), order, report, worker, pulse)
        code = 0
    except BaseException:  # noqa: BLE001 - a fork must not go on as the server
        traceback.print_exc()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
