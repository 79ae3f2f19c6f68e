"""The bounds that several rooms share, each with its unit, so that all of them refuse the same values."""

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

MAX_RUNNING_RANGE: Final = (1, 10_000)
"""Attempts of one step that run at once over the whole site."""

MAX_LANE_CHARS: Final = 200
"""Longest key of a lane, in characters."""

OLDEST_REDIS: Final = (6, 2)
"""The oldest Redis or Valkey, major and minor version, whose commands the ledger's scripts may use."""
