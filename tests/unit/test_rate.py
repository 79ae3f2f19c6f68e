"""How often a step may start, as it is written down."""

import pytest

from steps.rate import MOST_STARTS, Rate


@pytest.mark.parametrize(
    ("text", "starts", "within_s"),
    [
        ("1/s", 1, 1.0),
        ("10/s", 10, 1.0),
        ("100/m", 100, 60.0),
        ("1000/h", 1_000, 3_600.0),
        ("10000/h", 10_000, 3_600.0),
    ],
)
def test_a_rate_is_so_many_starts_in_a_unit_of_time(text: str, starts: int, within_s: float) -> None:
    assert Rate.parse(text) == Rate(starts, within_s)


@pytest.mark.parametrize(
    "text",
    ["", "10", "/s", "10/", "0/s", "00/s", "010/s", "-1/s", "+1/s", "1.5/s", "1e3/s", "10/d", "10/S", "10 / s", " 10/s",
     "10/s\n", "10/sec", "10/s/s", "10001/s", "99999/s", "100000/s", "1\u0660/s", "ten/s"],
)  # fmt: skip
def test_what_is_no_rate_is_refused_and_the_message_shows_some(text: str) -> None:
    with pytest.raises(
        ValueError, match="is no rate: write 1 to 10000 starts a unit, as 10/s, 100/m or 1000/h"
    ) as wrong:
        Rate.parse(text)
    assert repr(text) in str(wrong.value)


def test_the_bound_itself_is_allowed() -> None:
    assert Rate.parse(f"{MOST_STARTS}/s").starts == MOST_STARTS
