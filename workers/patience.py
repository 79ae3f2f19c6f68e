"""How long a worker that was told to stop waits for the steps that still run."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

ABANDONED_AFTER_S: Final = 1.0
"""A worker whose launcher is dead waits no longer than this for a Redis that does not answer: when a whole site is
killed, its Redis goes with it, and nothing that is finished now could be written down."""

LOOK_EVERY_S: Final = 0.1


class Patience:
    """Begins when a worker is told to stop, and ends what it still does where that takes too long.

    Args:
        limit_s: The longest wait.
        unanswered_s: Tells for how long Redis has not answered.
        give_up: Ends the worker; called once, on a thread of its own.
    """

    def __init__(self, *, limit_s: float, unanswered_s: Callable[[], float], give_up: Callable[[], None]) -> None:
        self._limit_s = max(0.0, limit_s)
        self._unanswered_s = unanswered_s
        self._give_up = give_up
        self._launcher = os.getppid()
        # Signal handlers begin and end it, one of them within another: none may take a lock that the other holds.
        self._unbegun = [threading.Thread(target=self._wait, name="stepline-patience", daemon=True)]
        self._is_lost = False

    def begin(self) -> None:
        """Begin to wait; told again, it goes on as it does. A dying launcher tells so once for each of its threads."""
        with suppress(IndexError):
            self._unbegun.pop().start()

    def lose(self) -> None:
        """Wait no longer."""
        self._is_lost = True

    def _wait(self) -> None:
        until_s = time.monotonic() + self._limit_s
        while time.monotonic() < until_s and not self._is_lost and not self._is_abandoned():
            time.sleep(min(LOOK_EVERY_S, self._limit_s))
        self._give_up()

    def _is_abandoned(self) -> bool:
        return os.getppid() != self._launcher and self._unanswered_s() > ABANDONED_AFTER_S
