"""The process between a worker and the process of one step: it keeps the step's time, and leaves nothing of it behind.

It stands in the way of a step that kills its parent, and what the step started and let go becomes its own child:
so that all of it is found and ended with the step, and that of no other step.
"""

import ctypes
import mmap
import os
import select
import signal
import socket
import time
from contextlib import suppress
from math import ceil, inf
from typing import Final

from workers.own_process_step import run_step
from workers.own_process_wire import (
    ABANDONED,
    BEGAN,
    ENDED,
    FLAGS,
    GUARD,
    HEARD_AT,
    KILL,
    OVERRAN,
    SIGNAL,
    STOP,
    STOPPED,
    STOPPED_AT,
    Order,
    read_sheet,
)
from workers.processes import live_processes
from workers.pulse import Pulse

HARD_STOP_AFTER_S: Final = 0.7
"""How long past its deadline, or after it was stopped, a step that ignores the soft stop may go on."""

RING_EVERY_S: Final = 0.05
"""A step that was stopped before it listened is told again."""

SWEEP_S: Final = 1.0
"""How long what a step started may take to end once it was killed."""

SWEEP_PAUSE_S: Final = 0.002

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_prctl: Final = ctypes.CDLL(None).prctl


def adopt_orphans() -> None:
    """Make this process the parent of all below it that have lost theirs."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def tie_to_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent's thread that started it ends; ends it if that has happened."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def guard(line: socket.socket, order_sheet: int, report_sheet: int, worker: int, pulse: Pulse | None = None) -> None:
    """Run the step of an order in a child of this process, until it and all that it started have ended.

    Args:
        line: To the worker, and from it.
        order_sheet: The order.
        report_sheet: Where the step's process writes its report.
        worker: The worker's pidfd.
        pulse: Says whether the worker stands still; None where nobody takes over from it.
    """
    adopt_orphans()
    line.send(SIGNAL.pack(GUARD, os.getpid()))
    order = Order.decode(read_sheet(order_sheet) or b"")
    os.ftruncate(order_sheet, 0)
    os.close(order_sheet)
    flags = memoryview(mmap.mmap(-1, FLAGS))
    parent, began = os.getpid(), time.monotonic()
    child = os.fork()
    if child == 0:
        line.close()
        os.close(worker)
        os.setsid()
        tie_to_parent(parent)
        run_step(order, began, sheet=report_sheet, flags=flags)
        os._exit(0)
    line.send(SIGNAL.pack(BEGAN, began))
    _Watch(line, worker, child, flags, deadline=began + order.timeout_s, pulse=pulse).watch()


class _Watch:
    def __init__(
        self,
        line: socket.socket,
        worker: int,
        child: int,
        flags: memoryview,
        *,
        deadline: float,
        pulse: Pulse | None,
    ) -> None:
        self._line = line
        self._pulse = pulse
        self._worker = worker
        self._child = child
        self._child_fd = os.pidfd_open(child)
        self._flags = flags
        self._deadline = deadline
        self._stopped_at = inf
        self._poll = select.poll()
        for descriptor in (line.fileno(), worker, self._child_fd):
            self._poll.register(descriptor, select.POLLIN)

    def watch(self) -> None:
        """Wait for the end of the step, or bring it about; then end what it started, and say how it was."""
        killed = self._wait()
        status = self._end_child()
        end_descendants()
        if killed is not None:
            self._say(killed, 0)
        self._say(ENDED, status)

    def _wait(self) -> bytes | None:
        """Return once the step has ended, or must be: then why, where the worker does not know it."""
        while True:
            now = time.monotonic()
            if now >= self._hard_stop_at():
                return OVERRAN if self._deadline <= self._stopped_at else STOPPED
            if self._pulse is not None and self._pulse.is_lost(now):
                return ABANDONED
            self._ring()
            ready = {descriptor for descriptor, _ in self._poll.poll(self._pause_ms(now))}
            if self._child_fd in ready or self._worker in ready:
                return None
            if self._line.fileno() in ready and not self._obey():
                return None

    def _hard_stop_at(self) -> float:
        return min(self._deadline, self._stopped_at) + HARD_STOP_AFTER_S

    def _pause_ms(self, now: float) -> int:
        next_at = self._hard_stop_at()
        if self._is_unheard():
            next_at = min(next_at, now + RING_EVERY_S)
        if self._pulse is not None:
            next_at = min(next_at, now + self._pulse.next_look_s(now))
        return min(ceil((next_at - now) * 1000), 2**31 - 1)

    def _obey(self) -> bool:
        """Do what the worker says; False where the step must end at once."""
        said = self._line.recv(16)
        if not said or KILL in said:
            return False
        if STOP in said and self._stopped_at == inf:
            self._stopped_at = time.monotonic()
            self._flags[STOPPED_AT] = 1
        return True

    def _is_unheard(self) -> bool:
        return self._flags[STOPPED_AT] == 1 and self._flags[HEARD_AT] == 0

    def _ring(self) -> None:
        if self._is_unheard():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._child_fd, signal.SIGALRM)

    def _end_child(self) -> int:
        """End the step's process and its group, before the pid can be another's; return how it ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._child_fd, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):  # it may not have made the group yet, or have left it
            os.killpg(self._child, signal.SIGKILL)
        end = os.waitid(os.P_PIDFD, self._child_fd, os.WEXITED | os.WNOWAIT)
        assert end is not None
        return end.si_status if end.si_code == os.CLD_EXITED else -end.si_status

    def _say(self, kind: bytes, number: float) -> None:
        with suppress(OSError):  # the worker is gone
            self._line.send(SIGNAL.pack(kind, number))


def end_descendants() -> None:
    """Kill the children of this process and what becomes its children by that, until there is none."""
    give_up_at = time.monotonic() + SWEEP_S
    while time.monotonic() < give_up_at:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            for child in children():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(child, signal.SIGKILL)
            time.sleep(SWEEP_PAUSE_S)


def children() -> list[int]:
    """Return the live children of this process."""
    return [process.pid for process in live_processes() if process.parent == os.getpid()]
