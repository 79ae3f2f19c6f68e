"""How long a failed step waits before it is tried again."""

import math
from dataclasses import dataclass
from random import Random
from typing import Final, get_args

from config.choices import BackoffKind

BACKOFF_KINDS: Final[tuple[BackoffKind, ...]] = get_args(BackoffKind)

MAX_DOUBLINGS: Final = 64
"""Beyond this many doublings every delay has met its cap; it keeps the power from overflowing."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """The waits between the attempts of a step.

    Args:
        kind: ``fixed``: always ``delay_s``; ``linear``: ``delay_s`` times the number of failures so far;
            ``exponential``: doubles with every failure; ``random``: anything from 0 to twice ``delay_s``.
        delay_s: The wait after the first failure, in seconds (``random``: its mean).
        cap_s: No wait is longer than this, in seconds.
        jitter: Whether an exponential wait is shortened by up to a half, so that steps which failed together
            do not come back together.

    Raises:
        ValueError: An unknown kind, or a delay or cap that is negative or not finite.
    """

    kind: BackoffKind = "exponential"
    delay_s: float = 1.0
    cap_s: float = 60.0
    jitter: bool = True

    def __post_init__(self) -> None:
        """Refuse what can't be waited for."""
        if self.kind not in BACKOFF_KINDS:
            raise ValueError(f"backoff must be one of {', '.join(BACKOFF_KINDS)}, not {self.kind!r}")
        for name, value in (("delay", self.delay_s), ("cap", self.cap_s)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"the {name} of a backoff must be a number of seconds from 0, not {value!r}")

    def wait_s(self, failure_number: int, rng: Random) -> float:
        """Return how many seconds to wait after the nth failure, counted from 1."""
        return min(self.cap_s, self._uncapped_s(failure_number, rng))

    def _uncapped_s(self, failure_number: int, rng: Random) -> float:
        match self.kind:
            case "fixed":
                return self.delay_s
            case "linear":
                return self.delay_s * failure_number
            case "random":
                return rng.uniform(0, 2 * self.delay_s)
            case "exponential":
                wait_s = min(self.cap_s, self.delay_s * 2.0 ** min(failure_number - 1, MAX_DOUBLINGS))
                return wait_s * rng.uniform(0.5, 1.0) if self.jitter else wait_s
