"""Bad batches are refused with path and reason, all at once, before anything is written."""

import math
from typing import Any

import pytest

from config.queue_settings import QueueSettings
from config.settings import Settings
from producer.planning.batch import parse_batch
from producer.planning.planner import make_plan
from steps.definition import StepFacts
from steps.errors import InvalidBatch, UnknownStep
from tests.support.plans import CLASSIFIER, DEFINITIONS, SETTINGS, plan, problems, refused

SESSION = {"session_id": "42"}


def test_an_unknown_step_is_refused_with_the_nearest_names() -> None:
    error = refused(["GetStep", "GetStp", {"name": "Xyz"}])
    assert isinstance(error, UnknownStep)
    assert (error.name, error.nearest) == ("GetStp", ("GetStep",))
    assert [str(problem) for problem in error.problems] == [
        "steps[1]: no step is named 'GetStp'; did you mean GetStep?",
        "steps[2].name: no step is named 'Xyz'; import its module or name it in STEPLINE_STEP_MODULES",
    ]


def test_an_unknown_completion_body_is_refused() -> None:
    assert isinstance(refused(["GetStep"], then="Nope"), UnknownStep)
    assert list(problems(["GetStep"], then={"name": "Nope"})) == ["then.name"]


def test_an_unknown_step_beside_other_problems_is_one_of_them() -> None:
    error = refused(["Nope", {"name": "GetStep", "timeout": 0}])
    assert type(error) is InvalidBatch
    assert {problem.path for problem in error.problems} == {"steps[0]", "steps[1].timeout"}


def test_names_are_compared_for_the_first_unknown_steps_only() -> None:
    asked: list[str] = []

    def nearest(name: str) -> list[str]:
        asked.append(name)
        return []

    batch = parse_batch([f"Nope{index}" for index in range(1_000)] * 2, settings=SETTINGS)
    with pytest.raises(UnknownStep) as caught:
        make_plan(
            batch,
            find_facts=lambda name: None,
            find_definition=lambda name: None,
            nearest=nearest,
            classifier=CLASSIFIER,
            settings=SETTINGS,
        )
    assert len(caught.value.problems) == 2_000
    assert len(asked) == 20


@pytest.mark.parametrize(
    ("spec", "context", "path", "reason"),
    [
        ({"name": "ReadFileStep", "params": {"path": 3}}, {}, "steps[0].params.path", "valid string"),
        ("ReadFileStep", {}, "steps[0].params.path", "is missing"),
        (
            {"name": "ReadFileStep", "params": {"path": ".", "x": 1}},
            {},
            "steps[0].params.x",
            "is no parameter",
        ),
        ("ReadFileStep", {"path": 3}, "context.path", "valid string"),
    ],
)
def test_params_that_do_not_fit_are_refused(spec: Any, context: dict[str, Any], path: str, reason: str) -> None:
    found = problems([spec], context=context)
    assert list(found) == [path]
    assert reason in found[path]


def test_a_wrong_context_key_is_reported_once_for_all_steps_that_take_it() -> None:
    calls = ["ReadFileStep", "ReadFileStep", {"name": "ReadFileStep", "params": {"depth": 1}}]
    assert list(problems(calls, context={"path": 3})) == ["context.path"]


def test_params_of_the_completion_body_are_checked() -> None:
    assert list(problems([], then="ReadFileStep")) == ["then.params.path"]


FACTS = {
    "ReadFileStep": StepFacts.from_json(DEFINITIONS["ReadFileStep"].facts().to_json()),
    "AnythingStep": StepFacts("AnythingStep", schema={"additionalProperties": True}),
    "BareStep": StepFacts("BareStep"),
}


def test_without_the_code_params_are_checked_by_name() -> None:
    calls = [
        {"name": "ReadFileStep", "params": {"depth": "types are checked where the code is", "x": 1}},
        {"name": "AnythingStep", "params": {"x": 1}},
        {"name": "BareStep", "params": {"x": 1}},
    ]
    assert problems(calls, facts=FACTS) == {
        "steps[0].params.path": "is missing: give it in params, or as a context key of that name",
        "steps[0].params.x": "is no parameter of step 'ReadFileStep'; it takes: depth, path",
    }
    assert plan(calls[1:], facts=FACTS).mode == "sequential"
    assert plan(["ReadFileStep"], facts=FACTS, context={"path": "."}).mode == "parallel"


def test_values_that_were_refused_are_not_called_missing_too() -> None:
    call = {"name": "ReadFileStep", "params": {"path": math.nan}}
    assert list(problems([call])) == ["steps[0].params.path"]
    assert list(problems(["ReadFileStep", "CreateChatStep"], context={"path": "\ud800"})) == ["context.path"]
    chat = {"name": "CreateChatStep", "params": {"session_id": b""}}
    assert list(problems([chat])) == ["steps[0].params.session_id"]


def test_a_lane_that_cannot_be_made_is_refused_where_it_was_named() -> None:
    assert problems(["CreateStep"], lane="s:{session_id}") == {
        "lane": "the lane 's:{session_id}' needs session_id: give it in params or in the context"
    }
    assert list(problems([{"name": "CreateStep", "lane": "{a.b}"}])) == ["steps[0].lane"]
    assert list(problems([{"name": "RetitleStep", "params": {"title": "x" * 300}}])) == ["steps[0]"]
    assert list(problems(["CreateStep"] * 3, lane="{x}")) == ["lane"]
    assert list(problems([], lane="{x}", mode="sequential")) == ["lane"]


def test_a_queue_that_cannot_take_a_step_is_refused() -> None:
    assert "whose threads can't be killed" in problems(["MisroutedStep"])["steps[0]"]
    assert "nowhere" in problems([{"name": "LostStep", "critical": False}])["steps[0]"]
    threads = QueueSettings(name="nowhere", pool="threads")
    settings = Settings(queues=(*SETTINGS.queues, threads))
    assert plan([{"name": "LostStep", "critical": False}], settings=settings).steps[0].queue == "nowhere"


def test_a_forced_parallel_mode_is_refused_for_every_critical_step() -> None:
    found = problems(["GetStep", "CreateStep", {"name": "GetStep", "critical": True}], mode="parallel")
    assert list(found) == ["steps[1]", "steps[2]"]
    assert "is critical (matches critical pattern 'Create.*Step$')" in found["steps[1]"]
    assert "would run it beside others" in found["steps[1]"]


def test_a_run_that_is_too_large_is_refused() -> None:
    small = Settings(max_run_bytes=1_000, max_params_bytes=1_000, max_value_bytes=1_000)
    read = {"name": "ReadFileStep", "params": {"path": "x" * 400}}
    assert plan([read], settings=small).mode == "parallel"
    assert list(problems([read, read], settings=small)) == ["steps"]
    assert "with the context" in problems([read], context={"a": "x" * 500}, settings=small)["steps"]


def test_the_largest_run_allowed_is_sixteen_mebibytes() -> None:
    read = {"name": "ReadFileStep", "params": {"path": "x" * 262_000}}
    assert plan([read] * 63).mode == "parallel"
    assert list(problems([read] * 65)) == ["steps"]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    steps = [
        "",
        "GetStp",
        {"name": "ReadFileStep", "params": {"path": 3}, "retries": 101},
        {"name": "CreateStep", "lane": "{x}", "id": "same"},
        {"name": "GetStep", "id": "same"},
        "MisroutedStep",
    ]
    error = refused(steps, mode="parallel", deadline=0, then="Nope")
    assert [problem.path for problem in error.problems] == [
        "deadline",
        "then",
        "steps[0]",
        "steps[1]",
        "steps[2].retries",
        "steps[2].params.path",
        "steps[3]",
        "steps[3].lane",
        "steps[4].id",
        "steps[5]",
        "steps[5]",
    ]


def test_a_dictionary_that_looks_like_a_typed_frame_is_planned_as_it_is() -> None:
    frame = {"__type__": "nope", "__value__": 1}
    made = plan(["GetStep"], context={"frame": frame, **SESSION})
    assert made.context["frame"] == frame
