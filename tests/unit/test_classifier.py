"""Which steps are critical: precedence of the rules, reasons, and the way out when a rule breaks."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.rules import Rules, load_rules
from steps.classifier import Decision, StepClassifier

CRITICAL = [
    "TaskExecutionStep",
    "WorkflowExecutionStep",
    "AnalysisExecutionStep",
    "RefactoringStep",
    "TestingStep",
    "DeploymentStep",
    "CreateProjectStep",
    "CreateUserStep",
    "ExecuteCommandStep",
    "ExecuteWorkflowStep",
    "CreateChatStep",
    "IDESendMessageStep",
]
NON_CRITICAL = [
    "GetChatHistoryStep",
    "GitGetStatusStep",
    "GitGetCurrentBranchStep",
    "GetProjectInfoStep",
    "GetUserPreferencesStep",
    "GetSystemStatusStep",
    "FetchUserDataStep",
    "RetrieveProjectDataStep",
    "LoadConfigurationStep",
    "ReadFileStep",
    "QueryDatabaseStep",
]
CONTEXT_KEYS = ["workflowId", "taskId", "analysisId", "isWorkflowExecution", "sequentialRequired"]
SNAKE_KEYS = ["workflow_id", "task_id", "analysis_id", "is_workflow_execution", "sequential_required"]


@dataclass
class Known:
    critical: bool | None


@pytest.fixture(scope="module")
def classifier() -> StepClassifier:
    return StepClassifier()


def test_should_classify_critical_steps_correctly(classifier: StepClassifier) -> None:
    by_pattern = [
        "IDEOpenStep",
        "MyWorkflowStep",
        "TaskCleanupStep",
        "DeepAnalysisStep",
        "RefactoringPlanStep",
    ]
    by_pattern += ["TestingRunStep", "DeploymentCheckStep", "CreateFolderStep", "ExecuteQueuedStep"]
    found = classifier.classify_steps([*CRITICAL, *by_pattern])
    assert found.critical == [*CRITICAL, *by_pattern]
    assert found.non_critical == []
    rules = [decision.rule for decision in found.decisions]
    assert rules == ["explicit"] * len(CRITICAL) + ["pattern"] * len(by_pattern)


def test_should_classify_non_critical_steps_correctly(classifier: StepClassifier) -> None:
    by_pattern = [
        "GetNewsStep",
        "FetchFeedStep",
        "RetrieveStep",
        "LoadThemeStep",
        "ReadLogStep",
        "QueryIndexStep",
    ]
    found = classifier.classify_steps([*NON_CRITICAL, *by_pattern])
    assert found.non_critical == [*NON_CRITICAL, *by_pattern]
    assert found.critical == []
    rules = [decision.rule for decision in found.decisions]
    assert rules == ["explicit"] * len(NON_CRITICAL) + ["pattern"] * len(by_pattern)


@pytest.mark.parametrize("key", [*CONTEXT_KEYS, *SNAKE_KEYS])
def test_should_classify_steps_based_on_context(classifier: StepClassifier, key: str) -> None:
    names = ["GetNewsStep", "GetChatHistoryStep", "CreateChatStep"]
    with_context = classifier.classify_steps(names, {key: "wf-1"})
    assert with_context.critical == ["GetNewsStep", "CreateChatStep"]
    assert with_context.reasons["GetNewsStep"] == f"the context has {key}"
    assert [decision.rule for decision in with_context.decisions] == ["context", "explicit", "explicit"]
    for untrue in (None, "", 0, False, [], {}):
        assert classifier.classify_steps(names, {key: untrue}).critical == ["CreateChatStep"]


@pytest.mark.parametrize("key", ["executionMode", "execution_mode"])
def test_the_execution_mode_workflow_makes_critical_and_no_other(classifier: StepClassifier, key: str) -> None:
    found = classifier.classify("GetNewsStep", {key: "workflow"})
    assert (found.critical, found.rule) == (True, "context")
    assert found.reason == f"the context has {key}='workflow'"
    for other in ("Workflow", "batch", True, ["workflow"], None):
        assert classifier.classify("GetNewsStep", {key: other}).rule == "pattern"


def test_a_true_value_in_either_spelling_is_enough(classifier: StepClassifier) -> None:
    assert classifier.classify("GetNewsStep", {"workflowId": None, "workflow_id": "7"}).critical
    assert classifier.classify("GetNewsStep", {"workflowId": "7", "workflow_id": None}).critical


PRECEDENCE = [
    # call, decorator, name, context -> critical, rule
    (False, True, "CreateChatStep", {"taskId": 1}, False, "call"),
    (True, False, "GetChatHistoryStep", {}, True, "call"),
    (None, False, "CreateChatStep", {"taskId": 1}, False, "decorator"),
    (None, True, "GetChatHistoryStep", {}, True, "decorator"),
    (None, None, "CreateChatStep", {}, True, "explicit"),
    (None, None, "GetChatHistoryStep", {"taskId": 1}, False, "explicit"),
    (None, None, "GetNewsStep", {"taskId": 1}, True, "context"),
    (None, None, "UnheardOf", {"taskId": 1}, True, "context"),
    (None, None, "GetTaskStep", {}, True, "pattern"),
    (None, None, "GetNewsStep", {}, False, "pattern"),
    (None, None, "UnheardOf", {}, True, "default"),
]


@pytest.mark.parametrize(("call", "declared", "name", "context", "critical", "rule"), PRECEDENCE)
def test_the_first_rule_that_matches_decides(
    classifier: StepClassifier,
    call: bool | None,
    declared: bool | None,
    name: str,
    context: dict[str, object],
    critical: bool,
    rule: str,
) -> None:
    alone = classifier.classify(name, context, call=call, declared=declared)
    assert (alone.name, alone.critical, alone.rule) == (name, critical, rule)
    in_batch = classifier.classify_steps([name], context, facts=lambda _: Known(declared), calls=[call])
    assert in_batch.decisions == (alone,)
    assert alone.reason


def test_a_name_that_matches_both_kinds_is_critical_and_the_reason_names_both(
    classifier: StepClassifier,
) -> None:
    reason = classifier.classify("GetTaskStep").reason
    assert "'Task.*Step$'" in reason
    assert "'Get.*Step$'" in reason


def test_a_name_in_both_lists_is_critical() -> None:
    rules = Rules(critical_names=frozenset({"S"}), non_critical_names=frozenset({"S"}))
    assert StepClassifier(rules).classify("S").critical


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("getnewsstep", "pattern"),
        ("MyGetNewsStep", "pattern"),
        ("GETNEWSSTEP", "pattern"),
        ("GetNewsSteps", "default"),
        ("GetNewsStep\n", "default"),
        ("Get\nStep", "default"),
        ("getchathistorystep", "pattern"),
        ("", "default"),
    ],
)
def test_patterns_search_anywhere_in_any_case_up_to_their_own_anchor(
    classifier: StepClassifier, name: str, rule: str
) -> None:
    assert classifier.classify(name).rule == rule


def test_unknown_is_critical_unless_the_setting_says_otherwise() -> None:
    assert StepClassifier().classify("UnheardOf").critical
    assert not StepClassifier(unknown_is_critical=False).classify("UnheardOf").critical


def test_no_pattern_can_hang_whatever_the_name() -> None:
    rules = Rules(critical_patterns=("(a+)+$", "(a|aa)+$"), non_critical_patterns=("(.*a){12}$",))
    assert StepClassifier(rules).classify("a" * 100_000 + "!").rule == "default"


def test_an_error_while_classifying_makes_the_whole_batch_critical(
    classifier: StepClassifier, caplog: pytest.LogCaptureFixture
) -> None:
    def facts(name: str) -> Known | None:
        if name == "BrokenStep":
            raise RuntimeError("no ledger")
        return None

    names = ["GetChatHistoryStep", "BrokenStep", "GetNewsStep"]
    with caplog.at_level(logging.WARNING, logger="steps.classifier"):
        found = classifier.classify_steps(names, {}, facts=facts, calls=[False, None, False])
    assert found.critical == names
    assert {decision.rule for decision in found.decisions} == {"fallback"}
    assert "RuntimeError: no ledger" in found.reasons["GetNewsStep"]
    assert "RuntimeError: no ledger" in caplog.text


def test_a_name_that_no_pattern_can_read_makes_the_batch_critical(classifier: StepClassifier) -> None:
    found = classifier.classify_steps(["GetNewsStep", "\ud800"])
    assert [decision.rule for decision in found.decisions] == ["fallback", "fallback"]
    assert len(found.critical) == 2
    json.dumps(found.reasons["GetNewsStep"]).encode()


def test_as_many_calls_as_names_are_needed(classifier: StepClassifier) -> None:
    found = classifier.classify_steps(["GetNewsStep", "ReadLogStep"], calls=[None])
    assert {decision.rule for decision in found.decisions} == {"fallback"}


def test_counts_ratio_and_reasons_of_a_mixed_batch(classifier: StepClassifier) -> None:
    found = classifier.classify_steps(["GetChatHistoryStep", "CreateChatStep", "GitGetStatusStep", "ReadFileStep"])
    assert found.counts == {"total": 4, "critical": 1, "non_critical": 3}
    assert found.parallelisation_ratio == 0.75
    assert found.reasons["CreateChatStep"] == "listed in critical_names"
    assert json.loads(json.dumps(found.as_dict())) == {
        "critical": ["CreateChatStep"],
        "non_critical": ["GetChatHistoryStep", "GitGetStatusStep", "ReadFileStep"],
        "counts": found.counts,
        "parallelisation_ratio": 0.75,
        "reasons": found.reasons,
    }


def test_the_ratio_of_an_empty_batch_is_zero(classifier: StepClassifier) -> None:
    found = classifier.classify_steps([])
    assert (found.critical, found.non_critical, found.parallelisation_ratio) == ([], [], 0.0)
    assert found.counts == {"total": 0, "critical": 0, "non_critical": 0}


def test_the_same_name_twice_is_decided_call_by_call(classifier: StepClassifier) -> None:
    found = classifier.classify_steps(["GetNewsStep", "GetNewsStep"], calls=[True, None])
    assert [decision.critical for decision in found.decisions] == [True, False]
    assert (found.critical, found.non_critical) == (["GetNewsStep"], ["GetNewsStep"])


def test_what_is_not_known_of_a_step_says_nothing(classifier: StepClassifier) -> None:
    for facts in (None, lambda _: None, lambda _: Known(None)):
        (decision,) = classifier.classify_steps(["GetChatHistoryStep"], facts=facts).decisions
        assert decision == Decision("GetChatHistoryStep", False, "listed in non_critical_names", "explicit")


def test_a_sites_own_rules_are_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('critical_patterns = ["^Pay"]\n[context_values]\nrisk_level = ["high"]\n', encoding="utf-8")
    classifier = StepClassifier(load_rules(path))
    assert classifier.classify("PayStep").rule == "pattern"
    assert not classifier.classify("RepayGetStep").critical
    assert classifier.classify("GetNewsStep", {"riskLevel": "high"}).critical


@given(st.lists(st.text(max_size=30) | st.sampled_from([*CRITICAL, *NON_CRITICAL])), st.booleans())
def test_every_step_of_any_batch_is_decided_once_in_order(names: list[str], unknown_is_critical: bool) -> None:
    found = StepClassifier(unknown_is_critical=unknown_is_critical).classify_steps(names)
    assert [decision.name for decision in found.decisions] == names
    assert len(found.critical) + len(found.non_critical) == len(names)
    assert 0 <= found.parallelisation_ratio <= 1
