"""Counts the attempts that have ended for everybody else and whose code still runs."""

from time import monotonic
from typing import Final

from steps.attempt import Attempt


class Zombies:
    """Attempts whose code has outlived them; any thread may add and discard.

    Args:
        grace_s: Code that returns within this many seconds of being told to is not counted.
    """

    __slots__ = ("_since", "grace_s")

    def __init__(self, grace_s: float = 0.0) -> None:
        self.grace_s: Final = grace_s
        self._since: dict[Attempt, float] = {}

    def add(self, attempt: Attempt) -> bool:
        """Take in an attempt that was told to stop just now; returns False if it is in already."""
        now = monotonic()
        return self._since.setdefault(attempt, now) is now

    def discard(self, attempt: Attempt) -> None:
        """Its code has returned, or it was never abandoned."""
        self._since.pop(attempt, None)

    def __contains__(self, attempt: object) -> bool:
        """Whether the attempt was told to stop and its code still runs, however short a time ago."""
        return attempt in self._since

    def __len__(self) -> int:
        """Return how many have had their grace."""
        if not self._since:
            return 0
        latest = monotonic() - self.grace_s
        return sum(since <= latest for since in list(self._since.values()))
