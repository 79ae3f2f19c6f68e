"""The bounds that settings and calls share, each with its unit, so that both refuse the same values."""

from typing import Final

TIMEOUT_RANGE_S: Final = (0.01, 86_400.0)
"""A step's time-out: from one beat of the clock that watches it to a day."""

RETRIES_RANGE: Final = (0, 100)
"""Attempts after the first one."""

DELAY_RANGE_S: Final = (0.0, 86_400.0)
"""A wait between two attempts, and its cap."""

DEADLINE_RANGE_S: Final = (0.05, 604_800.0)
"""The time a whole run may take: up to a week."""

CONCURRENCY_RANGE: Final = (1, 1_000)
"""Steps of one run, or of one worker, that run at once."""
