"""Keys of lanes: made from templates, params, context and defaults."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.limits import MAX_LANE_CHARS
from producer.planning.lanes import LaneError, lane_key


def no_default(name: str) -> Any:
    return None


def key(template: str, params: dict[str, Any] | None = None, context: dict[str, Any] | None = None) -> str:
    return lane_key(template, params or {}, context or {}, {"branch": "main"}.get)


@pytest.mark.parametrize(
    ("template", "params", "context", "made"),
    [
        ("global", {}, {}, "global"),
        ("session:{session_id}", {"session_id": "42"}, {}, "session:42"),
        ("session:{session_id}", {}, {"session_id": 42}, "session:42"),
        ("session:{session_id}", {"session_id": "1"}, {"session_id": "2"}, "session:1"),
        ("{a}/{b}/{a}", {"a": "x"}, {"b": "y"}, "x/y/x"),
        ("git:{branch}", {}, {}, "git:main"),
        ("git:{branch}", {}, {"branch": "dev"}, "git:dev"),
        ("{{{a}}}", {"a": "{b}"}, {}, "{{b}}"),
        ("ü:{a}", {"a": "é"}, {}, "ü:é"),
    ],
)
def test_a_field_is_filled_from_params_then_context_then_default(
    template: str, params: dict[str, Any], context: dict[str, Any], made: str
) -> None:
    assert key(template, params, context) == made


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("session:{other}", "needs other: give it in params or in the context"),
        ("{none}", "needs none: give it"),
        ("{empty}", "needs a text or whole number as empty, not ''"),
        ("{flag}", "needs a text or whole number as flag, not True"),
        ("{list}", "needs a text or whole number as list, not a value of type list"),
        ("{ratio}", "needs a text or whole number as ratio, not 1.5"),
        ("{session", "is no template: expected '}' before end of string; write {{ for a brace"),
        ("}", "is no template"),
        ("{}", "may name its fields only, as in session:{session_id}"),
        ("{0}", "may name its fields only"),
        ("{text.upper}", "may name its fields only"),
        ("{text[0]}", "may name its fields only"),
        ("{text!r}", "may name its fields only"),
        ("{text:>100}", "may name its fields only"),
        ("{long}", f"characters, more than {MAX_LANE_CHARS}"),
        ("a{newline}", "a character that can't be printed"),
        ("\x00", "a character that can't be printed"),
        ("", "is empty"),
    ],
)
def test_a_lane_that_cannot_be_made_says_why(template: str, reason: str) -> None:
    params = {
        "text": "x", "none": None, "empty": "", "flag": True, "list": [1], "ratio": 1.5,
        "long": "x" * (MAX_LANE_CHARS + 1), "newline": "\n",
    }  # fmt: skip
    with pytest.raises(LaneError) as caught:
        key(template, params)
    assert reason in str(caught.value)


@given(
    st.text() | st.text(alphabet="{}:!.a0[]"),
    st.dictionaries(st.just("a"), st.text() | st.integers() | st.none()),
)
def test_no_template_and_no_value_crashes(template: str, params: dict[str, Any]) -> None:
    try:
        made = lane_key(template, params, {}, no_default)
    except LaneError:
        return
    assert made.isprintable()
    assert 0 < len(made) <= MAX_LANE_CHARS
