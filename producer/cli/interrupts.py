"""Ctrl-C, SIGTERM and SIGHUP as one thing: the first raises KeyboardInterrupt, later ones are dropped."""

import signal
from types import FrameType, TracebackType
from typing import Final, Self

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Inside the block, the first signal raises KeyboardInterrupt in the main thread; all others are dropped.

    Clean-up is bounded in time: an impatient second Ctrl-C would gain little and could leave processes.
    """

    def __init__(self) -> None:
        self._armed = True
        self._previous: dict[signal.Signals, object] = {}

    @property
    def armed(self) -> bool:
        """Whether the next signal will raise: none has come, and the clean-up has not begun."""
        return self._armed

    def disarm(self) -> None:
        """From now on drop every signal: the work is done, what follows is clean-up."""
        self._armed = False

    def __enter__(self) -> Self:
        """Take the signals over; one that is ignored (nohup) stays so."""
        for signum in SIGNALS:
            if signal.getsignal(signum) is not signal.SIG_IGN or signum is signal.SIGINT:
                self._previous[signum] = signal.signal(signum, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]  # What signal.signal itself returned.

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if self._armed:
            self._armed = False
            raise KeyboardInterrupt
