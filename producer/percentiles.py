"""Percentiles from the ledger's fixed buckets of times."""

import math
from collections.abc import Mapping
from typing import Final

BUCKET: Final = "b"
"""What the names of buckets open with; a number follows."""

BUCKETS_A_DOUBLING: Final = 4
"""Bucket ``k`` holds times from 2^(k/4) microseconds on: quarter powers of two, as scripts/run.lua counts them."""

MICROSECONDS_A_MS: Final = 1000.0


def percentile_ms(counts: Mapping[str, int], part: float) -> float:
    """Return the time that ``part`` (0.0 to 1.0) of all times do not exceed, in milliseconds; 0.0 where there is none.

    It is the middle of the bucket that holds that time, so it is off by less than a tenth. (To guess a place within the
    bucket would not do: where all times are alike, they lie at one end of it.)
    """
    buckets = sorted((int(name[1:]), count) for name, count in counts.items() if is_bucket(name))
    rank = part * sum(count for _, count in buckets)
    seen = 0
    for bucket, count in buckets:
        seen += count
        if count and seen >= rank:
            return math.pow(2.0, (bucket + 0.5) / BUCKETS_A_DOUBLING) / MICROSECONDS_A_MS
    return 0.0


def is_bucket(name: str) -> bool:
    """Whether a count of that name is a bucket's."""
    return name.startswith(BUCKET) and name[1:].isdecimal()
