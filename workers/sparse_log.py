"""Warnings of a kind that may come in floods: one line a minute, and how many there were."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

APART_S: Final = 60.0
"""Between two lines of a kind."""


class SparseLog:
    """Writes the first warning of each kind, and after a minute how many more there were.

    Args:
        logger: Where to.
        clock: Monotonic seconds.
    """

    def __init__(self, logger: logging.Logger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._lock = threading.Lock()
        self._began_s: dict[str, float] = {}
        self._more: dict[str, int] = {}

    def tell(self, kind: str, text: str) -> None:
        """Write the text, or count it where one of its kind was written within the last minute."""
        self.count_up()
        with self._lock:
            if kind in self._began_s:
                self._more[kind] = self._more.get(kind, 0) + 1
                return
            self._began_s[kind] = self._clock()
        self._logger.warning("%s", text)

    def count_up(self) -> None:
        """Write how many more there were of each kind whose minute is over."""
        now_s = self._clock()
        with self._lock:
            over = [kind for kind, began_s in self._began_s.items() if now_s - began_s >= APART_S]
            counts = {kind: more for kind in over if (more := self._more.pop(kind, 0))}
            for kind in over:
                del self._began_s[kind]
        for kind, more in counts.items():
            self._logger.warning("%d more like it within a minute: %s", more, kind)
