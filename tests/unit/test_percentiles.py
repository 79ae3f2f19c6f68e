"""Percentiles from the ledger's buckets, against those of the times themselves."""

import math
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from producer.percentiles import is_bucket, percentile_ms
from steps.ledger.scripts import SCRIPTS

PROMISED = 0.1
"""No percentile is off by more than this part of it."""

A_DAY_US = 86_400_000_000
PARTS = (0.5, 0.95)

times_us = st.lists(st.integers(1, A_DAY_US) | st.integers(1, 2_000) | st.just(100_000), min_size=1, max_size=200)


def buckets_of(times: Sequence[int]) -> dict[str, int]:
    """Count times as scripts/run.lua does."""
    return Counter(f"b{math.floor(4 * math.log(time) / math.log(2))}" for time in times)


def exact_ms(times: Sequence[int], part: float) -> float:
    """Return the lowest of the times that ``part`` of them do not exceed."""
    return sorted(times)[math.ceil(part * len(times)) - 1] / 1000


@given(times_us)
@example([1])
@example([100_000] * 100)
@example([2**power for power in range(1, 37)])
@example([round(2 ** (quarter / 4)) for quarter in range(140)])
@example([1_000] * 95 + [5_000_000] * 5)
def test_a_percentile_is_off_by_less_than_a_tenth(times: list[int]) -> None:
    for part in PARTS:
        found, exact = percentile_ms(buckets_of(times), part), exact_ms(times, part)
        assert abs(found - exact) < PROMISED * exact, (part, found, exact)


@given(times_us)
def test_a_higher_percentile_is_no_lower(times: list[int]) -> None:
    counts = buckets_of(times)
    found = [percentile_ms(counts, part) for part in (0.0, 0.1, 0.5, 0.9, 0.95, 0.99, 1.0)]
    assert found == sorted(found)


@pytest.mark.parametrize("counts", [{}, {"b40": 0}, {"runs": 3, "run_us": 9, "rule|pattern": 4, "b": 2, "bx": 1}])
def test_where_nothing_was_timed_it_is_zero(counts: dict[str, int]) -> None:
    assert percentile_ms(counts, 0.5) == 0.0
    assert percentile_ms(counts, 0.95) == 0.0


def test_only_buckets_count() -> None:
    counts = {"b40": 1, "us": 10**9, "succeeded": 7}
    assert percentile_ms(counts, 0.95) == percentile_ms({"b40": 1}, 0.95) > 0
    assert [name for name in (*counts, "b", "bb", "b-1", "rule|b1") if is_bucket(name)] == ["b40"]


def test_the_scripts_count_by_the_same_buckets() -> None:
    line = "local function bucket_of(us) return 'b' .. math.floor(4 * math.log(math.max(us, 1)) / math.log(2)) end"
    assert line in SCRIPTS["settle"].text
