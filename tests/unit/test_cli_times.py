"""Times as people read them."""

import time
from datetime import datetime

import pytest

from producer.cli.times import moment, precise_moment, since, span


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (None, "-"),
        (0.0, "0.0 ms"),
        (12.06, "12.1 ms"),
        (3_400.0, "3.4 s"),
        (125_000.0, "2 min 5 s"),
        (4_800_000.0, "1 h 20 min"),
        (273_600_000.0, "3 d 4 h"),
    ],
)
def test_a_span_has_the_unit_that_fits(milliseconds: float | None, shown: str) -> None:
    assert span(milliseconds) == shown


def test_a_moment_of_today_is_a_time_and_any_other_has_its_date() -> None:
    now = datetime.now().astimezone()
    assert moment(now.timestamp() * 1000) == now.strftime("%H:%M:%S")
    then = datetime(2020, 2, 3, 4, 5, 6).astimezone()
    assert moment(then.timestamp() * 1000) == "2020-02-03 04:05:06"
    assert moment(None) == "-"


def test_an_event_has_its_milliseconds() -> None:
    then = datetime(2020, 2, 3, 4, 5, 6, 250_000).astimezone()
    assert precise_moment(then.timestamp() * 1000) == "04:05:06.250"


def test_what_is_long_ago_says_how_long() -> None:
    assert since((time.time() - 125.5) * 1000) == "2 min 5 s"
    assert since((time.time() + 60) * 1000) == "0.0 ms"
    assert since(None) == "-"
