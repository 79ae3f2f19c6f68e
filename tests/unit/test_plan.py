"""Plans: classes, limits, queues, lanes, ledger order and parcels."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.queue_settings import QueueSettings
from config.settings import Settings
from producer.planning.plan import Parcel, Plan
from steps.backoff import Backoff
from steps.call import StepCall
from steps.definition import StepFacts
from steps.ledger.records import SiteLimits
from tests.support.plans import DEFINITIONS, SETTINGS, plan

SESSION = {"session_id": "42"}


def lanes(made: Plan) -> list[str | None]:
    return [step.lane for step in made.steps]


def queues(made: Plan) -> list[str]:
    return [step.queue for step in made.steps]


def test_an_empty_batch_is_planned_and_counts_as_parallel() -> None:
    made = plan([])
    assert (made.steps, made.sequence, made.parcels, made.then, made.mode) == ((), (), (), None, "parallel")
    assert made.classification.parallelisation_ratio == 0


def test_reads_go_to_the_parallel_queue_and_writes_to_a_lane_of_the_critical_one() -> None:
    made = plan(["GetStep", "CreateStep"])
    read, write = made.steps
    assert (read.critical, read.rule, read.queue, read.lane, read.sequential) == (
        False, "pattern", "parallel", None, False,
    )  # fmt: skip
    assert (write.critical, write.rule, write.queue, write.lane, write.sequential) == (
        True, "pattern", "critical", "global", True,
    )  # fmt: skip
    assert made.mode == "hybrid"
    assert made.classification.counts == {"total": 2, "critical": 1, "non_critical": 1}


@pytest.mark.parametrize(
    ("steps", "mode"),
    [(["GetStep"], "parallel"), (["CreateStep"], "sequential"), (["GetStep", "CreateStep"], "hybrid")],
)
def test_the_mode_says_what_kinds_of_steps_there_are(steps: list[str], mode: str) -> None:
    assert plan(steps).mode == mode
    assert plan(steps, mode="hybrid").mode == mode


def test_what_a_call_says_of_its_class_is_obeyed() -> None:
    made = plan([{"name": "GetStep", "critical": True}, {"name": "CreateStep", "critical": False}])
    assert [(step.critical, step.rule) for step in made.steps] == [(True, "call"), (False, "call")]


def test_a_batch_without_options_takes_what_the_settings_say() -> None:
    made = plan(["GetStep"])
    assert (made.order, made.strategy, made.deadline_s, made.max_concurrency) == (
        "critical_first",
        "basic",
        3_600,
        10,
    )
    settings = Settings(order="overlap", strategy="simple", run_deadline_s=9, max_concurrency=3)
    made = plan(["GetStep"], settings=settings)
    assert (made.order, made.strategy, made.deadline_s, made.max_concurrency) == ("overlap", "simple", 9, 3)


def test_a_batch_with_options_has_them() -> None:
    made = plan(["GetStep"], order="overlap", strategy="simple", deadline=2, max_concurrency=4, context=SESSION)
    assert (made.order, made.strategy, made.deadline_s, made.max_concurrency) == ("overlap", "simple", 2.0, 4)
    assert (made.context, made.context_json) == (SESSION, '{"session_id":"42"}')


@pytest.mark.parametrize(
    ("steps", "priority", "number"),
    [
        ([], None, 1),
        (["GetStep"], None, 1),
        (["GetStep"], "normal", 1),
        (["GetStep"], "high", 6),
        (["GetStep", "CreateStep"], None, 11),
        (["CreateStep", "CreateStep"], "high", 16),
        ([{"name": "GetStep", "critical": True}], "normal", 11),
    ],
)
def test_a_run_is_as_urgent_as_its_steps_and_its_caller_say(
    steps: list[Any], priority: str | None, number: int
) -> None:
    assert plan(steps, priority=priority).priority == number


def test_a_completion_body_and_a_forced_order_make_a_run_no_more_urgent() -> None:
    assert plan(["GetStep"], then="CreateStep").priority == 1
    assert plan(["GetStep"], mode="sequential").priority == 1


def test_name_and_the_runs_before_it_are_planned_as_they_were_given() -> None:
    made = plan(["GetStep"], name="view", after=["a", "b"])
    assert (made.name, made.after) == ("view", ("a", "b"))


def test_what_a_step_declares_for_the_site_is_planned_from_code_and_from_facts_alike() -> None:
    facts = StepFacts("GetStep", max_running=3, rate="10/s")
    made = plan(["GetStep", "GetStep"], facts={"GetStep": facts})
    assert [step.limits for step in made.steps] == [SiteLimits("GetStep", 3, 10, 1.0)] * 2
    definition = replace(DEFINITIONS["GetStep"], max_running=3, rate="10/s")
    assert definition.facts().max_running == 3
    assert StepFacts.from_json(definition.facts().to_json()).rate == "10/s"
    assert [step.limits for step in plan(["GetStep"]).steps] == [None]


def limits(spec: Any, **options: Any) -> tuple[float, int, Backoff]:
    (step,) = plan([spec], **options).steps
    return step.call.timeout_s, step.call.retries, step.call.backoff


def test_limits_come_from_the_settings_where_nobody_says_otherwise() -> None:
    assert limits("GetStep") == (30.0, 1, Backoff("exponential", 1.0, 60.0, True))
    settings = Settings(
        step_timeout_s=3, retries=4, critical_retries=2,
        retry_backoff="linear", retry_delay_s=5, retry_cap_s=6, retry_jitter=False,
    )  # fmt: skip
    backoff = Backoff("linear", 5.0, 6.0, False)
    assert limits("GetStep", settings=settings) == (3.0, 4, backoff)
    assert limits("CreateStep", settings=settings) == (3.0, 2, backoff)


def test_a_critical_step_is_not_retried_unless_that_does_no_harm() -> None:
    assert limits("CreateStep")[1] == 0
    assert limits({"name": "GetStep", "critical": True})[1] == 0
    assert limits("UpsertStep")[1] == 1


def test_what_a_step_declares_goes_before_the_settings() -> None:
    assert limits("PatientStep") == (7.0, 3, Backoff("fixed", 2.0))


def test_what_a_call_says_goes_before_what_the_step_declares() -> None:
    assert limits({"name": "PatientStep", "timeout": 1, "retries": 0})[:2] == (1.0, 0)
    assert limits({"name": "CreateStep", "retries": 5})[1] == 5


def test_every_step_carries_its_call_as_json() -> None:
    steps = [{"name": "ReadFileStep", "params": {"path": "ü"}}, "GetStep"]
    for step in plan(steps).steps:
        assert StepCall.decode(step.encoded) == step.call
        assert step.encoded == step.call.encode()


@pytest.mark.parametrize(
    ("spec", "options", "lane"),
    [
        ("CreateStep", {}, "global"),
        ("CreateStep", {"lane": "site"}, "site"),
        ("CreateStep", {"lane": "s:{session_id}", "context": SESSION}, "s:42"),
        ("CreateChatStep", {"lane": "site", "context": SESSION}, "session:42"),
        ({"name": "CreateChatStep", "params": {"session_id": "7"}}, {"context": SESSION}, "session:7"),
        ({"name": "CreateChatStep", "lane": "mine"}, {"context": SESSION}, "mine"),
        ({"name": "CreateChatStep", "lane": "{title}", "params": {"session_id": "7"}}, {}, "new"),
        ("RetitleStep", {}, "title:new"),
        ({"name": "GetStep", "lane": "mine"}, {}, None),
    ],
)
def test_a_lane_is_named_by_call_then_step_then_batch_then_settings(
    spec: Any, options: dict[str, Any], lane: str | None
) -> None:
    assert lanes(plan([spec], **options)) == [lane]


def test_a_default_lane_is_taken_as_it_is() -> None:
    assert lanes(plan(["CreateStep"], settings=Settings(default_lane="{x}"))) == ["{x}"]


GIT_QUEUE = QueueSettings(name="git", pool="threads", concurrency=2, routes=("^Git", "^Get"))
SLOW_QUEUE = QueueSettings(name="slow", pool="prefork", routes=("^Create",))
ROUTED = Settings(queues=(*SETTINGS.queues, GIT_QUEUE, SLOW_QUEUE))


def test_a_step_goes_to_the_queue_that_takes_its_name() -> None:
    names = ["GetStep", "ReadFileStep", "CreateStep"]
    assert queues(plan(names, settings=ROUTED, context={"path": "."})) == ["git", "parallel", "slow"]


def test_a_critical_step_is_not_routed_to_threads() -> None:
    assert queues(plan([{"name": "GetStep", "critical": True}], settings=ROUTED)) == ["critical"]


def test_a_step_goes_to_the_queue_it_asks_for() -> None:
    assert queues(plan(["LonelyReadStep"])) == ["critical"]
    assert lanes(plan(["LonelyReadStep"])) == [None]


def test_the_ledger_has_steps_in_lanes_first_and_the_others_by_queue() -> None:
    made = plan(["GetStep", "CreateStep", "PatientStep", "GetStep", "CreateStep"], settings=ROUTED)
    assert made.sequence == (1, 4, 0, 3, 2)
    assert made.sequential_count == 2
    assert made.parcels == (
        Parcel("slow", "global", 0, 2),
        Parcel("git", None, 2, 2),
        Parcel("parallel", None, 4, 1),
    )
    assert [step.position for step in made.in_ledger_order()] == [1, 4, 0, 3, 2]


def test_a_change_of_lane_or_queue_begins_another_parcel() -> None:
    names = ["CreateChatStep", "CreateStep", "UpsertStep", "CreateChatStep"]
    made = plan(names, settings=ROUTED, context=SESSION)
    assert made.parcels == (
        Parcel("slow", "session:42", 0, 1),
        Parcel("slow", "global", 1, 1),
        Parcel("critical", "global", 2, 1),
        Parcel("slow", "session:42", 3, 1),
    )


NAMES = st.lists(
    st.sampled_from(["GetStep", "PatientStep", "LonelyReadStep", "CreateStep", "CreateChatStep", "UpsertStep"])
)


@given(NAMES, st.sampled_from(["sequential", None]))
def test_parcels_cover_the_ledger_without_gap_and_keep_input_order(names: list[str], mode: Any) -> None:
    made = plan(names, mode=mode, settings=ROUTED, context=SESSION)
    assert sorted(made.sequence) == list(range(len(names)))
    ordered = made.in_ledger_order()
    first = 0
    for parcel in made.parcels:
        assert parcel.first == first
        assert parcel.count > 0
        members = ordered[first : first + parcel.count]
        assert {(step.queue, step.lane) for step in members} == {(parcel.queue, parcel.lane)}
        assert [step.position for step in members] == sorted(step.position for step in members)
        first += parcel.count
    assert first == len(names)
    in_lanes = made.sequence[: made.sequential_count]
    assert list(in_lanes) == [step.position for step in made.steps if step.lane is not None]
    parallel = [parcel.queue for parcel in made.parcels if parcel.lane is None]
    assert len(parallel) == len(set(parallel))
    assert all(step.critical == (step.lane is not None) for step in made.steps if mode is None)


def test_sequential_mode_puts_reads_into_the_lane_of_the_write_before_them() -> None:
    names = ["GetStep", "CreateChatStep", "GetStep", "LonelyReadStep", "CreateStep", "GetStep"]
    made = plan(names, mode="sequential", context=SESSION)
    assert made.mode == "sequential"
    assert lanes(made) == ["session:42", "session:42", "session:42", "session:42", "global", "global"]
    assert made.sequence == tuple(range(6))
    assert len(made.parcels) == 2
    assert [step.critical for step in made.steps] == [False, True, False, False, True, False]
    assert made.steps[0].reason == "matches non-critical pattern 'Get.*Step$'"
    assert made.steps[0].call.retries == 1


def test_sequential_mode_without_a_write_runs_in_the_default_lane_of_the_critical_queue() -> None:
    made = plan(["GetStep", "PatientStep"], mode="sequential", settings=ROUTED)
    assert made.parcels == (Parcel("critical", "global", 0, 2),)
    made = plan(["GetStep"], mode="sequential", lane="s:{session_id}", context=SESSION)
    assert lanes(made) == ["s:42"]


def test_parallel_mode_is_granted_where_nothing_is_critical() -> None:
    assert plan(["GetStep", "PatientStep"], mode="parallel").mode == "parallel"
    assert plan([{"name": "CreateStep", "critical": False}], mode="parallel").mode == "parallel"


def test_the_completion_body_stands_beside_the_steps() -> None:
    made = plan(["GetStep"], then={"name": "CreateChatStep", "timeout": 4}, context=SESSION, mode="parallel")
    assert made.then is not None
    assert (made.then.position, made.then.queue, made.then.lane) == (1, "critical", "session:42")
    assert made.then.call.timeout_s == 4
    assert (made.mode, made.sequence, len(made.classification.decisions)) == ("parallel", (0,), 1)


def test_a_sequential_run_has_its_completion_body_in_a_lane_too() -> None:
    made = plan(["CreateChatStep"], then="GetStep", mode="sequential", context=SESSION)
    assert made.then is not None
    assert (made.then.queue, made.then.lane, made.then.critical) == ("critical", "session:42", False)


def test_steps_without_code_here_are_planned_by_their_facts() -> None:
    facts = {name: StepFacts.from_json(one.facts().to_json()) for name, one in DEFINITIONS.items()}
    steps = [
        "GetStep",
        "UpsertStep",
        "PatientStep",
        "CreateChatStep",
        {"name": "ReadFileStep", "params": {"path": "."}},
    ]
    with_code, without = plan(steps, context=SESSION), plan(steps, context=SESSION, facts=facts)
    assert without.steps == with_code.steps
    assert without.parcels == with_code.parcels


def test_a_lane_takes_a_default_from_the_facts_where_they_tell_it() -> None:
    schema = {"properties": {"title": {"default": "new"}}}
    facts = {"RetitleStep": StepFacts("RetitleStep", critical=True, lane="title:{title}", schema=schema)}
    assert lanes(plan(["RetitleStep"], facts=facts)) == ["title:new"]


def test_the_context_makes_a_batch_critical() -> None:
    made = plan(["GetStep", "PatientStep"], context={"workflow_id": "w"})
    assert [(step.critical, step.rule) for step in made.steps] == [(True, "context"), (False, "decorator")]
