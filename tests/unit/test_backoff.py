"""The four ways of waiting before a retry."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.backoff import BACKOFF_KINDS, Backoff

SECONDS = st.floats(0, 1e6)


def waits(backoff: Backoff, count: int = 5) -> list[float]:
    rng = Random(1)
    return [backoff.wait_s(number, rng) for number in range(1, count + 1)]


def test_a_fixed_backoff_waits_the_same_each_time() -> None:
    assert waits(Backoff("fixed", 2.0)) == [2.0] * 5


def test_a_linear_backoff_grows_by_its_delay() -> None:
    assert waits(Backoff("linear", 2.0)) == [2.0, 4.0, 6.0, 8.0, 10.0]


def test_an_exponential_backoff_doubles_up_to_its_cap() -> None:
    assert waits(Backoff("exponential", 1.0, 10.0, jitter=False)) == [1.0, 2.0, 4.0, 8.0, 10.0]


def test_jitter_shortens_an_exponential_wait_by_up_to_a_half() -> None:
    rng = Random(1)
    backoff = Backoff("exponential", 4.0, 60.0, jitter=True)
    seen = [backoff.wait_s(1, rng) for _ in range(200)]
    assert all(2.0 <= wait <= 4.0 for wait in seen)
    assert max(seen) - min(seen) > 1.0


def test_a_random_backoff_is_spread_around_its_delay() -> None:
    rng = Random(1)
    seen = [Backoff("random", 4.0).wait_s(1, rng) for _ in range(500)]
    assert all(0.0 <= wait <= 8.0 for wait in seen)
    assert 3.5 < sum(seen) / len(seen) < 4.5


@given(st.sampled_from(BACKOFF_KINDS), SECONDS, SECONDS, st.booleans(), st.integers(1, 10**9))
def test_no_wait_is_negative_or_longer_than_the_cap(
    kind: str, delay_s: float, cap_s: float, jitter: bool, failure: int
) -> None:
    wait = Backoff(kind, delay_s, cap_s, jitter).wait_s(failure, Random(1))  # type: ignore[arg-type]
    assert 0 <= wait <= cap_s


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"kind": "quadratic"}, "must be one of fixed, linear, exponential, random"),
        ({"delay_s": -1.0}, "the delay of a backoff"),
        ({"delay_s": math.inf}, "the delay of a backoff"),
        ({"cap_s": math.nan}, "the cap of a backoff"),
    ],
)
def test_what_cannot_be_waited_for_is_refused(arguments: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Backoff(**arguments)  # type: ignore[arg-type]
