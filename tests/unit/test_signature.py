"""How params become arguments and results become JSON, by the signature of the step."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BaseModel, Field, field_validator

from steps.decorator import define
from steps.errors import InvalidStep

if TYPE_CHECKING:
    from steps.context import StepContext


class Page(BaseModel):
    number: int
    size: int = 10


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int


ORIGIN = Point(0, 0)


def bound(target: Any, params: dict[str, Any], context: dict[str, Any] | None = None) -> dict[str, Any]:
    found = define(target).bind(params, context or {})
    assert isinstance(found, dict), found
    return found


def problems(target: Any, params: dict[str, Any], context: dict[str, Any] | None = None) -> dict[str, str]:
    return {one.path: one.message for one in define(target).check(params, context or {})}


def read(session_id: str, page: Page, limit: int = 5) -> None: ...


def test_params_are_typed_by_the_signature() -> None:
    assert bound(read, {"session_id": "a", "page": {"number": "3"}}) == {
        "session_id": "a",
        "page": Page(number=3),
    }


def test_an_argument_is_explicit_before_it_is_from_the_context_before_it_is_the_default() -> None:
    context = {"session_id": "from context", "limit": 7, "other": 1}
    arguments = bound(read, {"session_id": "explicit", "page": {"number": 1}}, context)
    assert arguments["session_id"] == "explicit"
    assert arguments["limit"] == 7
    assert "other" not in arguments
    assert "limit" not in bound(read, {"session_id": "a", "page": {"number": 1}})


def test_all_problems_are_named_with_their_paths() -> None:
    found = problems(read, {"page": {"number": "x", "size": []}, "sesion_id": "a"}, {"limit": "many"})
    assert set(found) == {
        "params.session_id",
        "params.page.number",
        "params.page.size",
        "params.sesion_id",
        "context.limit",
    }
    assert found["params.session_id"] == "is missing: give it in params, or as a context key of that name"
    assert found["params.sesion_id"] == "is no parameter of step 'read'; it takes: limit, page, session_id"
    assert "valid integer" in found["context.limit"]
    assert found["params.page.size"].endswith("(given: list)")


def test_a_step_without_parameters_says_that_it_takes_none() -> None:
    def Nothing() -> None: ...

    assert problems(Nothing, {"a": 1})["params.a"].endswith("it takes: none")


def test_items_of_a_list_are_named_by_their_index() -> None:
    def Many(items: list[int]) -> None: ...

    assert set(problems(Many, {"items": [1, "x"]})) == {"params.items[1]"}


def test_a_list_full_of_mistakes_is_reported_by_its_first_ones() -> None:
    def Many(items: list[int]) -> None: ...

    assert len(problems(Many, {"items": ["x"] * 1000})) == 20


def test_ctx_is_no_parameter_even_where_its_type_is_imported_for_checkers_only() -> None:
    def Reading(ctx: StepContext, path: str = ".") -> None: ...

    definition = define(Reading)
    assert definition.takes_context
    assert definition.signature.names == {"path"}
    assert bound(Reading, {"path": "a"}, {"ctx": "from context"}) == {"path": "a"}
    assert problems(Reading, {"ctx": 1}) == {"params.ctx": "is filled by Stepline and can't be given"}


def test_further_params_are_taken_where_the_step_takes_any() -> None:
    def Open(first: int, **rest: str) -> None: ...

    assert bound(Open, {"first": 1, "a": "x", "b": "y"}, {"c": "not bound"}) == {
        "first": 1,
        "a": "x",
        "b": "y",
    }
    assert set(problems(Open, {"first": 1, "a": []})) == {"params.a"}


def test_untyped_parameters_take_anything() -> None:
    def Loose(value, other=None):  # type: ignore[no-untyped-def]
        return value

    assert bound(Loose, {"value": {"a": [1]}}) == {"value": {"a": [1]}}


def test_an_attempt_gets_lists_of_its_own() -> None:
    def Loose(value: Any, more: dict[str, Any]) -> None: ...

    params: dict[str, Any] = {"value": [{"a": []}]}
    context: dict[str, Any] = {"more": {"b": []}}
    arguments = bound(Loose, params, context)
    arguments["value"][0]["a"].append(1)
    arguments["more"]["b"].append(1)
    assert params == {"value": [{"a": []}]}
    assert context == {"more": {"b": []}}


def test_a_model_of_the_defining_function_is_found_though_annotations_are_text() -> None:
    class Local(BaseModel):
        name: str

    def Taking(local: Local) -> Local:
        return local

    definition = define(Taking, scope=locals())
    assert definition.bind({"local": {"name": "a"}}, {}) == {"local": Local(name="a")}
    assert definition.dump(Local(name="a")) == ({"name": "a"}, [])


def test_a_type_defined_further_down_is_found_on_first_use() -> None:
    definition = define(takes_later)
    globals()["Later"] = Page
    try:
        assert definition.bind({"page": {"number": 1}}, {}) == {"page": Page(number=1)}
    finally:
        del globals()["Later"]


def takes_later(page: Later) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def test_an_annotation_nobody_knows_is_reported_with_the_step() -> None:
    definition = define(takes_later)
    with pytest.raises(InvalidStep, match=r"takes_later.*can't be resolved.*Later"):
        definition.signature.compile()
    assert "Later" in definition.check({"page": 1}, {})[0].message


def test_a_type_that_no_json_can_become_is_reported_with_the_step() -> None:
    class Strange: ...

    def Taking(it: Strange) -> None: ...

    with pytest.raises(InvalidStep, match=r"Taking.*parameters that pydantic can't take"):
        define(Taking, scope=locals()).signature.compile()


def test_a_validator_that_breaks_is_a_problem_of_the_params() -> None:
    class Broken(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def _break(cls, value: str) -> str:
            raise KeyError(value)

    def Taking(it: Broken) -> None: ...

    found = define(Taking, scope=locals()).check({"it": {"name": "a"}}, {})
    assert [(one.path, one.message) for one in found] == [("params", "could not be checked: KeyError: 'a'")]


def returns_page() -> Page: ...  # type: ignore[empty-body]
def returns_dates() -> dict[str, datetime.date]: ...  # type: ignore[empty-body]
def returns_set() -> set[int]: ...  # type: ignore[empty-body]
def returns_colour() -> Colour: ...  # type: ignore[empty-body]
def returns_points() -> list[Point]: ...  # type: ignore[empty-body]
def returns_pair() -> tuple[int, str]: ...  # type: ignore[empty-body]
def returns_maybe() -> list[Any] | None: ...
def returns_short() -> Annotated[str, Field(max_length=3)]: ...  # type: ignore[empty-body]
def returns_dict() -> dict: ...  # type: ignore[type-arg, empty-body]
def returns_records() -> list[dict[str, Any]]: ...  # type: ignore[empty-body]
def returns_int() -> int: ...  # type: ignore[empty-body]
def returns_none() -> None: ...
def returns_unsaid(): ...  # type: ignore[no-untyped-def]


@pytest.mark.parametrize(
    ("target", "value", "written"),
    [
        (returns_page, Page(number=1), {"number": 1, "size": 10}),
        (returns_page, {"number": 1}, {"number": 1, "size": 10}),
        (returns_dates, {"a": datetime.date(2024, 2, 29)}, {"a": "2024-02-29"}),
        (returns_set, {1}, [1]),
        (returns_colour, Colour.RED, "red"),
        (returns_points, [Point(1, 2)], [{"x": 1, "y": 2}]),
        (returns_pair, (1, "a"), [1, "a"]),
        (returns_maybe, None, None),
        (returns_maybe, [1, {"a": None}], [1, {"a": None}]),
        (returns_short, "abc", "abc"),
        (returns_dict, {"a": [1]}, {"a": [1]}),
        (returns_unsaid, {"a": [1.5, True, "x", None]}, {"a": [1.5, True, "x", None]}),
        (returns_unsaid, {"__type__": "nope", "__value__": 1}, {"__type__": "nope", "__value__": 1}),
        (returns_none, None, None),
    ],
)
def test_a_result_is_written_as_its_annotation_says(target: Any, value: Any, written: Any) -> None:
    assert define(target).dump(value) == (written, [])


@pytest.mark.parametrize(
    ("target", "value", "path"),
    [
        (returns_page, {"number": "x"}, "value.number"),
        (returns_int, "many", "value"),
        (returns_none, 1, "value"),
        (returns_short, "abcd", "value"),
        (returns_unsaid, {1, 2}, "value"),
        (returns_unsaid, (1, 2), "value"),
        (returns_unsaid, object(), "value"),
        (returns_unsaid, b"bytes", "value"),
        (returns_unsaid, Page(number=1), "value"),
    ],
)
def test_a_result_that_does_not_fit_is_a_problem_with_its_path(target: Any, value: Any, path: str) -> None:
    plain, found = define(target).dump(value)
    assert plain is None
    assert [one.path for one in found] == [path]


@pytest.mark.parametrize("target", [returns_dict, returns_records, returns_maybe, returns_unsaid])
def test_what_was_never_declared_is_not_turned_into_json_in_silence(target: Any) -> None:
    value = {"a": {1}}
    for given in (value, [value]):
        assert define(target).dump(given)[1]


def test_a_serializer_that_breaks_is_a_problem_of_the_value() -> None:
    class Odd(BaseModel):
        raw: bytes

    def Returning() -> Odd: ...  # type: ignore[empty-body]

    plain, found = define(Returning, scope=locals()).dump(Odd(raw=b"\xff"))
    assert plain is None
    assert found[0].message.startswith("can't be written as JSON: UnicodeDecodeError")


def test_the_schema_shows_defaults_and_leaves_out_those_that_are_not_json() -> None:
    def Reading(path: str = ".", point: Any = ORIGIN) -> None: ...

    schema = define(Reading).facts().schema
    assert schema is not None
    assert schema["additionalProperties"] is False
    assert schema["properties"]["path"]["default"] == "."
    assert "default" not in schema["properties"]["point"]


def test_a_step_whose_params_have_no_schema_publishes_an_empty_one() -> None:
    def Calling(hook: Callable[[], None]) -> None: ...

    assert define(Calling).facts().schema == {}
