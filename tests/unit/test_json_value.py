"""What may travel as JSON, and what is refused with its path."""

import datetime
import enum
import json
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.json_value import (
    MAX_INT_BITS,
    MAX_PROBLEMS_A_VALUE,
    check_json,
    check_shape,
    decode,
    encode,
    encode_checked,
    join_path,
    utf8_size,
)
from steps.problem import Problem

MAX_DEPTH = 32
MAX_BYTES = 262_144

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
ANYTHING = st.recursive(
    SCALARS
    | st.text()
    | st.floats()
    | st.binary()
    | st.dates()
    | st.complex_numbers()
    | st.just(object())
    | st.just(int),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=12,
)


def check(value: object, *, path: str = "params", max_bytes: int = MAX_BYTES) -> list[Problem]:
    return check_json(value, path=path, max_depth=MAX_DEPTH, max_bytes=max_bytes)


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@given(JSON_VALUES)
def test_a_value_of_json_comes_back_from_a_round_trip_as_it_was(value: object) -> None:
    assert check(value) == []
    assert decode(encode(value)) == value


@given(ANYTHING)
def test_whatever_is_accepted_survives_a_round_trip_and_nothing_crashes_the_check(value: object) -> None:
    text, problems = encode_checked(value, path="params", max_depth=MAX_DEPTH, max_bytes=MAX_BYTES)
    assert bool(problems) != bool(text)
    if not problems:
        assert decode(text.encode()) == value
    for problem in problems:
        assert str(problem).isprintable()


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        (math.nan, "params", "is nan"),
        ({"a": math.inf}, "params.a", "is inf"),
        ({"a": [1, -math.inf]}, "params.a[1]", "is -inf"),
        ({"a": b"x"}, "params.a", "type bytes"),
        ({"a": bytearray(b"x")}, "params.a", "type bytearray"),
        ({"a": {1, 2}}, "params.a", "type set, which JSON can't hold; use a list"),
        ({"a": (1, 2)}, "params.a", "type tuple, which JSON can't hold; use a list"),
        ({"a": datetime.date(2024, 1, 1)}, "params.a", "type date"),
        ({"a": "\ud800"}, "params.a", "lone surrogate"),
        ({"\udfff": 1}, "params", "key with a lone surrogate"),
        ({1: "x"}, "params", "key of type int"),
        ({"a b": {"": object()}}, "params['a b']['']", "type object"),
        ({"a": 2**MAX_INT_BITS}, "params.a", "more than 2048 bits"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_path(value: object, path: str, reason: str) -> None:
    (problem,) = check(value)
    assert problem.path == path
    assert reason in problem.message


def test_the_longest_integer_allowed_can_be_read_wherever_python_is_set_to_its_lowest_limit() -> None:
    longest = 2**MAX_INT_BITS - 1
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(sys.int_info.str_digits_check_threshold)
    try:
        assert decode(encode(longest)) == longest
    finally:
        sys.set_int_max_str_digits(before)


def test_subclasses_that_json_writes_as_their_base_are_accepted() -> None:
    class Colour(enum.StrEnum):
        RED = "red"

    class Level(enum.IntEnum):
        LOW = 1

    value = {"colour": Colour.RED, "level": Level.LOW}
    assert check(value) == []
    assert decode(encode(value)) == {"colour": "red", "level": 1}


def test_nesting_is_counted_from_the_value_itself() -> None:
    assert check(nested(MAX_DEPTH)) == []
    (problem,) = check(nested(MAX_DEPTH + 1))
    assert problem == Problem("params" + "[0]" * MAX_DEPTH, "is nested more than 32 deep")


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    (problem,) = check(value)
    assert "nested more than 32 deep" in problem.message


def test_a_value_that_unfolds_into_gigabytes_is_refused_at_the_price_of_the_limit() -> None:
    value: object = "lol"
    for _ in range(30):
        value = [value] * 10
    assert check(value) == [Problem("params", "is larger than the 262144 bytes of JSON allowed")]


def test_a_value_of_exactly_the_limit_is_accepted_and_one_byte_more_is_not() -> None:
    assert check("x" * (MAX_BYTES - 2)) == []
    (problem,) = check("x" * (MAX_BYTES - 1))
    assert problem.message == "is larger than the 262144 bytes of JSON allowed"


def test_size_is_counted_in_bytes_of_utf8_and_with_escapes() -> None:
    (wide,) = check("ü" * (MAX_BYTES // 2))
    assert wide.message == "takes 262146 bytes of JSON, more than the 262144 allowed"
    (escaped,) = check("\x00" * (MAX_BYTES // 4))
    assert "takes" in escaped.message


def test_only_so_many_problems_of_one_value_are_listed() -> None:
    assert len(check([b""] * 1_000)) == MAX_PROBLEMS_A_VALUE


def test_a_dictionary_that_looks_like_a_typed_frame_arrives_as_it_is() -> None:
    value = {"__type__": "nope", "__value__": 1}
    assert check(value) == []
    assert decode(encode(value)) == value


def test_encoding_is_compact_and_keeps_what_is_beyond_ascii() -> None:
    assert encode({"a": [1, "ü"]}) == '{"a":[1,"ü"]}'
    assert utf8_size("ü") == 2
    assert utf8_size("a") == 1


def test_encoding_refuses_nan_even_unchecked() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(math.nan)


@pytest.mark.parametrize("scalar", [None, True, False])
def test_constants_are_always_fine(scalar: object) -> None:
    assert check_shape(scalar, path="", max_depth=0, max_bytes=0) == []


def test_paths_quote_what_is_no_plain_word_and_cut_what_is_endless() -> None:
    assert join_path("", ["steps", 3, "params", "a-b"]) == "steps[3].params['a-b']"
    assert join_path("x", ["k" * 500]) == f"x['{'k' * 60}']"
    assert join_path("x", ["ü\n"]) == r"x['\xfc\n']"
    assert json.loads(encode("")) == ""
