"""Wakes the keeper from another thread, or from a forked child."""

import os
import select


class Nudge:
    """An event that outlives a fork: set by anyone, waited for by the keeper alone; made before the first fork."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def set(self) -> None:
        """Wake the keeper, now or when it next waits."""
        os.eventfd_write(self._descriptor, 1)

    def wait(self, timeout_s: float) -> bool:
        """Wait up to so many seconds; returns whether it was set, and clears it."""
        if not select.select([self._descriptor], [], [], timeout_s)[0]:
            return False
        os.eventfd_read(self._descriptor)
        return True
