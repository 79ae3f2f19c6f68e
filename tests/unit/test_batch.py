"""Reading a batch: ids, options, and everything that is refused with its path."""

import itertools
import math
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Settings
from producer.planning.batch import BATCH_KEYS, Batch, parse_batch, read_batch
from tests.support.plans import SETTINGS


def batch(steps: Any, **options: Any) -> Batch:
    return parse_batch(steps, settings=SETTINGS, **options)


def found(steps: Any, **options: Any) -> dict[str, str]:
    return {problem.path: problem.message for problem in batch(steps, **options).problems}


def ids(steps: list[Any], **options: Any) -> list[str]:
    made = batch(steps, **options)
    assert made.problems == ()
    return [call.id for call in made.calls]


def test_ids_come_from_names_and_are_numbered_where_a_name_comes_again() -> None:
    assert ids(["A", "A", "B", "A"]) == ["A", "A_2", "B", "A_3"]


def test_made_ids_pass_those_given_later_in_the_batch() -> None:
    assert ids(["A", "A", {"name": "B", "id": "A_2"}, "A"]) == ["A", "A_3", "A_2", "A_4"]
    assert ids(["A", {"name": "B", "id": "A"}]) == ["A_2", "A"]


def test_made_ids_pass_names_that_look_like_made_ids() -> None:
    assert ids(["A", "A_2", "A"]) == ["A", "A_2", "A_3"]
    assert ids(["A_2", "A", "A"]) == ["A_2", "A", "A_3"]


@pytest.mark.parametrize(
    ("name", "made"), [("git status", "git_status"), ("7up", "_7up"), ("Größe", "Gr__e"), ("a.b-c", "a_b_c")]
)
def test_a_name_that_is_no_identifier_is_made_into_one(name: str, made: str) -> None:
    assert ids([name]) == [made]


@given(
    st.lists(
        st.sampled_from(["A", "A_2", "A_3", "A 2", "_"])
        | st.fixed_dictionaries({"name": st.just("A"), "id": st.sampled_from(["A_2", "A_3", "A_4", "B"])})
    )
)
def test_ids_are_unique_wherever_the_given_ones_are(steps: list[Any]) -> None:
    given_ids = [spec["id"] for spec in steps if isinstance(spec, dict)]
    made = batch(steps)
    assert (made.problems == ()) == (len(set(given_ids)) == len(given_ids))
    if not made.problems:
        assert len({call.id for call in made.calls}) == len(steps)


def test_the_completion_body_has_an_id_that_no_step_has() -> None:
    made = batch(["A"], then="A")
    assert made.then is not None
    assert made.then.id == "A_2"
    assert found([{"name": "A", "id": "x"}], then={"name": "B", "id": "x"}) == {
        "then.id": "is 'x', which is the id of steps[0] already"
    }


def test_duplicate_ids_are_refused_naming_the_first_owner() -> None:
    assert found([{"name": "A", "id": "x"}, "B", {"name": "C", "id": "x"}]) == {
        "steps[2].id": "is 'x', which is the id of steps[0] already"
    }


@pytest.mark.parametrize("step_id", ["", "1a", "a-b", "a b", "é", "a\n", 3, "x" * 201])
def test_an_id_that_is_no_identifier_is_refused(step_id: object) -> None:
    assert list(found([{"name": "A", "id": step_id}])) == ["steps[0].id"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is empty"),
        ("x" * 201, "201 characters, more than the 200 allowed"),
        ("a\tb", "U+0009, a character that can't be printed"),
        ("a\x00", "U+0000"),
        ("a\ud800", "U+D800"),
        (3, "must be the name of a step, not 3"),
        (None, "must be the name of a step, not None"),
    ],
)
def test_a_bad_name_is_refused(name: object, reason: str) -> None:
    (message,) = found([{"name": name}]).values()
    assert reason in message


def test_a_name_of_exactly_the_longest_length_is_read() -> None:
    assert found(["x" * 200]) == {}


@pytest.mark.parametrize("spec", ["", "a\n", 3, None, ["A"], b"A", object()])
def test_a_step_that_is_no_name_and_no_object_is_refused_with_its_index(spec: object) -> None:
    assert list(found(["A", spec])) == ["steps[1]"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timeout", 0),
        ("timeout", 0.009),
        ("timeout", 86_400.1),
        ("timeout", math.nan),
        ("timeout", math.inf),
        ("timeout", "5"),
        ("timeout", True),
        ("timeout", 10**400),
        ("retries", -1),
        ("retries", 101),
        ("retries", 1.5),
        ("retries", True),
        ("critical", "yes"),
        ("critical", 1),
        ("lane", ""),
        ("lane", 3),
        ("params", ["a"]),
        ("params", "a"),
    ],
)
def test_a_field_of_a_call_that_is_out_of_range_is_refused(key: str, value: object) -> None:
    assert list(found([{"name": "A", key: value}])) == [f"steps[0].{key}"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("deadline", 0.04),
        ("deadline", 604_801),
        ("deadline", "1h"),
        ("order", "random"),
        ("order", ["overlap"]),
        ("strategy", "clever"),
        ("mode", "turbo"),
        ("max_concurrency", 0),
        ("max_concurrency", 1_001),
        ("max_concurrency", 2.0),
        ("lane", ""),
        ("context", []),
        ("then", 3),
        ("name", ""),
        ("name", 42),
        ("name", "two\nlines"),
        ("name", "a\ud800"),
        ("name", "x" * 201),
        ("priority", "urgent"),
        ("priority", 5),
        ("priority", ["high"]),
        ("priority", True),
        ("after", "0190f0f0f0f0"),
        ("after", b"0190"),
        ("after", 3),
        ("after", {"0190": 1}),
        ("after", ["r"] * 101),
    ],
)
def test_an_option_that_is_out_of_range_is_refused(key: str, value: Any) -> None:
    assert list(found(["A"], **{key: value})) == [key]


def test_a_number_too_long_to_be_printed_is_refused_all_the_same() -> None:
    reason = "must be a whole number from 0 to 100, not an integer of too many digits"
    assert found([{"name": "A", "retries": 10**5000}]) == {"steps[0].retries": reason}


def test_the_bounds_themselves_are_allowed() -> None:
    calls = [{"name": "A", "timeout": 0.01, "retries": 0}, {"name": "A", "timeout": 86_400, "retries": 100}]
    assert found(calls, deadline=604_800, max_concurrency=1_000, mode="hybrid", order="overlap") == {}


def test_none_means_that_nothing_was_said() -> None:
    call = dict.fromkeys(["id", "params", "timeout", "retries", "critical", "lane"])
    options = dict.fromkeys(key for key in BATCH_KEYS if key != "steps")
    nothing_said = batch([{"name": "A", **call}], **options)
    assert (nothing_said.name, nothing_said.priority, nothing_said.after) == (None, None, ())
    (made,) = nothing_said.calls
    assert (made.id, made.timeout_s, made.retries, made.critical, made.lane) == ("A", None, None, None, None)


def test_a_batch_has_a_name_a_priority_and_runs_that_come_before_it() -> None:
    made = batch(["A"], name="view 42: Größe", priority="high", after=["0190f0-a", "0190f0-b"])
    assert (made.name, made.priority, made.after) == ("view 42: Größe", "high", ("0190f0-a", "0190f0-b"))
    assert batch(["A"], name="x" * 200, priority="normal", after=()).problems == ()


def test_a_run_that_is_named_twice_is_waited_for_once() -> None:
    assert batch(["A"], after=["a", "b", "a"]).after == ("a", "b")
    assert batch(["A"], after=(str(number) for number in range(100))).problems == ()


@pytest.mark.parametrize("run_id", ["", "a b", "a,b", "a\n", "é", "x" * 101, 3, None, ["a"]])
def test_what_is_no_id_of_a_run_is_refused_with_its_index(run_id: object) -> None:
    (problem,) = batch(["A"], after=["good", run_id]).problems
    assert problem.path == "after[1]"
    assert problem.message.startswith("must be the id of a run, not ")


def test_runs_to_wait_for_that_never_end_are_not_read_to_the_end() -> None:
    assert found(["A"], after=itertools.repeat("a")) == {"after": "has more than the 100 runs allowed"}


def test_unknown_keys_are_refused_naming_the_one_that_was_meant() -> None:
    problems = batch([{"name": "A", "timeot": 1, 3: 4}], contxt={}).problems
    assert [str(problem) for problem in problems] == [
        "has an unknown key 'contxt'; did you mean context?",
        "steps[0]: has an unknown key 'timeot'; did you mean timeout?",
        "steps[0]: has an unknown key 3; known are name, id, params, timeout, retries, critical, lane",
    ]


@pytest.mark.parametrize("steps", ["GetStep", b"x", {"name": "A"}, 3])
def test_steps_that_are_no_list_are_refused(steps: object) -> None:
    assert list(found(steps)) == ["steps"]


def test_a_batch_without_steps_is_refused_and_an_empty_list_is_not() -> None:
    assert read_batch({}, settings=SETTINGS).problems[0].path == "steps"
    assert found([]) == {}


def test_more_than_ten_thousand_steps_are_refused_without_reading_them_all() -> None:
    assert found(itertools.repeat("A")) == {"steps": "has more than the 10000 steps allowed; split the batch"}
    assert len(batch(["A"] * 10_000).calls) == 10_000


def test_steps_may_come_from_an_iterator_and_mappings_may_be_of_any_kind() -> None:
    made = batch(iter([MappingProxyType({"name": "A", "params": MappingProxyType({"x": 1})})]))
    assert made.problems == ()
    assert made.calls[0].params == {"x": 1}


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"x": math.nan}, "steps[0].params.x"),
        ({"x": [b""]}, "steps[0].params.x[0]"),
        ({"x": {1}}, "steps[0].params.x"),
        ({"x": "\ud800"}, "steps[0].params.x"),
        ({1: 1}, "steps[0].params"),
        ({"x": "y" * 262_144}, "steps[0].params"),
    ],
)
def test_params_that_are_no_json_are_refused_with_the_path_inside(params: object, path: str) -> None:
    assert list(found([{"name": "A", "params": params}])) == [path]


def test_context_is_bounded_like_params() -> None:
    assert list(found(["A"], context={"a": {"b": math.inf}})) == ["context.a.b"]
    assert list(found(["A"], context={"a": "y" * 262_144})) == ["context"]
    deep: Any = 1
    for _ in range(32):
        deep = {"x": deep}
    assert found(["A"], context=deep) == {}
    assert "nested more than 32 deep" in found(["A"], context={"x": deep})["context" + ".x" * 32]


def test_limits_come_from_the_settings() -> None:
    small = Settings(max_steps=1, max_params_bytes=10, max_depth=1, max_name_chars=3)
    call = {"name": "Long", "params": {"x": []}}
    assert [problem.path for problem in parse_batch([call], settings=small).problems] == [
        "steps[0].name",
        "steps[0].params.x",
    ]
    assert parse_batch(["A", "B"], settings=small).problems[0].path == "steps"


def test_all_problems_of_a_batch_are_found_at_once() -> None:
    steps = ["", {"name": "A", "id": "1", "params": {"x": math.nan}, "timeout": 0}, 3]
    assert list(found(steps, deadline=-1, mode="x", context={"y": b""})) == [
        "context.y",
        "steps[0]",
        "steps[1].params.x",
        "steps[1].id",
        "steps[1].timeout",
        "steps[2]",
        "deadline",
        "mode",
    ]


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.binary() | st.sampled_from(["A", "id"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "id", "params", "timeout", "retries", "lane", "steps", "then"]),
                inner,
            )
        ),
    )
)
def test_no_document_crashes_the_reader(steps: Any) -> None:
    for document in (
        {"steps": steps, "context": steps, "then": steps},
        {"steps": [steps], "deadline": steps},
    ):
        made = read_batch(document, settings=SETTINGS)
        assert all(str(problem).isprintable() for problem in made.problems)
