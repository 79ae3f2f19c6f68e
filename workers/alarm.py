"""The soft stop of a blocking step in the main thread of a child: an alarm that rings in the step's call only."""

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Final, TypeVar

from steps.errors import StepTimeout

SHORTEST_S: Final = 1e-6
"""An interval timer set to 0 would never ring."""

Value = TypeVar("Value")


class Alarm:
    """Raises `StepTimeout` inside a call that overruns or is stopped; to be made in the main thread.

    The handler raises only while the window of the call it was set for is open, and only if that call's time is up or
    its stop was asked for, so it can never hit our own code or the next step.
    """

    def __init__(self) -> None:
        self._window: StepTimeout | None = None
        self._has_rung = False
        self._deadline = 0.0
        self._is_stopped: Callable[[], bool] = bool
        self._take_signal()

    def call(
        self, function: Callable[[], Value], timeout_s: float, *, is_stopped: Callable[[], bool] = bool
    ) -> tuple[bool, Value | None]:
        """Call ``function``; returns (False, its value), or (True, None) where the alarm rang, whatever it made of it.

        Args:
            function: What to call; what it raises is passed on.
            timeout_s: How long it may run.
            is_stopped: Asked when the alarm rings early, whether this call is meant.
        """
        ringing = StepTimeout(timeout_s)
        self._has_rung = False
        self._take_signal()
        try:
            try:
                self._deadline = time.monotonic() + timeout_s
                self._is_stopped = is_stopped
                self._window = ringing
                signal.setitimer(signal.ITIMER_REAL, max(timeout_s, SHORTEST_S))
                value = function()
            finally:
                self._window = None
                signal.setitimer(signal.ITIMER_REAL, 0)
        except StepTimeout as stopped:
            # Caught out here too, as the alarm may ring between the end of the call and the closing of its window.
            if stopped is not ringing:
                raise
            return True, None
        return (True, None) if self._has_rung else (False, value)

    def _take_signal(self) -> None:
        """Hear the alarm, whatever the step before made of its handler and its mask."""
        signal.signal(signal.SIGALRM, self._ring)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])

    def _ring(self, _signal: int, _frame: FrameType | None) -> None:
        if self._window is None:
            return
        if time.monotonic() >= self._deadline or self._is_stopped():
            self._has_rung = True
            raise self._window
        signal.setitimer(signal.ITIMER_REAL, max(self._deadline - time.monotonic(), SHORTEST_S))
