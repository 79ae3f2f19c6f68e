"""How a keeper behaves while Redis does not answer: it tries again soon, ever less often, and says so once."""

import logging
import random
import time
from typing import Final

logger = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 0.5
"""Between two tries; each keeper draws its own from half of them upwards, so that not all come at once."""

RECONNECT_S: Final = 1.0
"""So long after Redis answers again, a live worker that had noticed has beaten: the longest pause, and the tries of the
connection itself, 0.3 s at most. One that had not noticed beats within its usual time."""


class Outage:
    """Counts the ticks that were not answered, from the first one on.

    Args:
        longest_s: Longest pause between two tries; by default `LONGEST_PAUSE_S`.
    """

    def __init__(self, longest_s: float = LONGEST_PAUSE_S) -> None:
        self._longest_s = min(longest_s, LONGEST_PAUSE_S)
        self._misses = 0
        self._began_s = 0.0

    def miss(self, error: Exception) -> float:
        """Note that a tick was not answered; returns the pause until the next try, in seconds."""
        if not self._misses:
            self._began_s = time.monotonic()
            logger.warning("no heartbeat: %s", error)
        pause_s = min(FIRST_PAUSE_S * 2.0 ** min(self._misses, 10), self._longest_s)
        self._misses += 1
        return random.uniform(0.5, 1.0) * pause_s

    def end(self) -> None:
        """Note that a tick was answered."""
        if self._misses:
            logger.warning("heartbeats again, after %.1f s without", time.monotonic() - self._began_s)
            self._misses = 0
