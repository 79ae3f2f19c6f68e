"""A worker's end of the line to the process of one step."""

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from random import Random
from typing import Final

from steps.attempt import Attempt, Decided, Decision, Died, End, Overran, RetryLater, Settle, Stopped, decide
from workers.child_watch import CANCELLED, TIMED_OUT
from workers.own_process_guard import HARD_STOP_AFTER_S
from workers.own_process_wire import (
    ABANDONED,
    BEGAN,
    ENDED,
    GUARD,
    KILL,
    OVERRAN,
    SIGNAL,
    STOP,
    STOPPED,
    Order,
    decision_of,
    read_sheet,
    write_sheet,
)

GUARD_LATE_S: Final = HARD_STOP_AFTER_S + 0.1
"""A guard that has not ended its step so long after it should have stopped is itself held up, and is killed."""

GONE_WITHIN_S: Final = 0.5
"""How long a killed guard may take to be gone; then its attempt has ended, whoever may hold its end of the line."""

KILLED: Final = {
    OVERRAN: Settle(TIMED_OUT[0], error=TIMED_OUT[1]),
    STOPPED: Settle(CANCELLED[0], error=CANCELLED[1]),
}

Tell = Callable[[End, float], None]


class Line:
    """One attempt, from its order to its end; but for its making, for one thread.

    Args:
        attempt: What is run.
        order: All that its process needs.
        tell: Told its end.
    """

    def __init__(self, attempt: Attempt, order: Order, tell: Tell) -> None:
        self.attempt = attempt
        self._tell = tell
        self._order = order
        self._order_sheet = os.memfd_create("stepline-order")
        self._report_sheet = os.memfd_create("stepline-report")
        write_sheet(self._order_sheet, order.encode())
        self._socket: socket.socket | None = None
        self._said = b""
        self._guard: int | None = None
        self.has_begun = False
        self._has_code = False
        self._status: int | None = None
        self._killed: bytes | None = None
        self._stop_reason: str | None = None
        self.late_at = inf
        self.is_given_up = False
        self.tries = 0

    def offer(self, send: Callable[[tuple[int, int, int]], None]) -> int:
        """Send its descriptors to who makes the process; returns the descriptor to wait on."""
        self.tries += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        if self._socket is not None:
            self._socket.close()
        self._socket = ours
        with theirs:
            send((theirs.fileno(), self._order_sheet, self._report_sheet))
        if self._stop_reason is not None:
            ours.send(STOP)
        return ours.fileno()

    def hear(self) -> bool:
        """Take in what the guard says; returns False where it has said its last."""
        assert self._socket is not None
        with suppress(BlockingIOError):
            try:
                said = self._socket.recv(SIGNAL.size * 8)
            except ConnectionError:
                said = b""
            if not said:
                return False
            self._said += said
        while len(self._said) >= SIGNAL.size:
            self._note(*SIGNAL.unpack_from(self._said))
            self._said = self._said[SIGNAL.size :]
        return self._status is None

    def stop(self, reason: str) -> None:
        """Have the step stopped softly, and hard if it does not listen."""
        if self._stop_reason is None:
            self._stop_reason = reason
            self._send(STOP)
            self._reckon()

    def kill(self) -> None:
        """Have the step and what it started ended at once."""
        self._send(KILL)

    def give_up(self) -> None:
        """End a guard that does not do so itself; the step's process ends with it."""
        self._killed = self._killed or (OVERRAN if self._stop_reason is None else STOPPED)
        if self._guard is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._guard, signal.SIGKILL)
        self.is_given_up = True
        self.late_at = time.monotonic() + GONE_WITHIN_S

    def end(self) -> None:
        """Tell how the attempt has ended."""
        end = self._end()
        self.close()
        self._tell(end, time.monotonic())

    def refuse(self, end: End) -> None:
        """Tell that there is no process for it."""
        self.close()
        self._tell(end, time.monotonic())

    def close(self) -> None:
        """Give its descriptors back."""
        if self._socket is not None:
            self._socket.close()
        os.close(self._order_sheet)
        os.close(self._report_sheet)
        if self._guard is not None:
            os.close(self._guard)

    def _send(self, word: bytes) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.send(word)

    def _note(self, kind: bytes, number: float) -> None:
        if kind == GUARD:
            self.has_begun = True
            with suppress(OSError):  # it may have ended: then it has said so
                self._guard = os.pidfd_open(int(number))
        elif kind == BEGAN:
            self.attempt.begin(number)
            self._has_code = True
            self._reckon()
        elif kind == ENDED:
            self._status = int(number)
        else:
            self._killed = kind

    def _reckon(self) -> None:
        """Reckon by when the guard must have ended the step."""
        if self._has_code:
            ends_at = self.attempt.deadline if self._stop_reason is None else time.monotonic()
            self.late_at = min(self.attempt.deadline, ends_at) + GUARD_LATE_S

    def _end(self) -> End:
        report = read_sheet(self._report_sheet)
        if report is not None:
            try:
                decision = decision_of(report)
            except (ValueError, KeyError, TypeError):  # the step wrote to a descriptor that was not its own
                return Died("the report of the step's own process can't be read")
            return Stopped(self._stop_reason or "") if decision is None else Decided(decision)
        if self._killed == ABANDONED:
            return Died("its worker stood still", is_announced=True)
        if self._killed is not None:
            return Decided(self._after(self._killed))
        return Died(_how(self._status))

    def _after(self, killed: bytes) -> Decision:
        """Return what follows from a hard stop: a retry where the step is tried again after time-outs."""
        if killed == OVERRAN:
            until = self._order.run_deadline
            left_s = None if until is None else until - time.monotonic()
            decision = decide(self.attempt, Overran(), limits=self._order.limits, rng=Random(), run_remaining_s=left_s)
            if isinstance(decision, RetryLater):
                return decision
        return KILLED[killed]


def _how(status: int | None) -> str:
    if status is None:
        return "the process between the worker and the step was killed"
    if status >= 0:
        return f"the step's own process exited with code {status}"
    try:
        return f"the step's own process was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"the step's own process was ended by signal {-status}"
