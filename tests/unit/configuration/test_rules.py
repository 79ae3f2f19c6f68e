"""Rules: the built-in ones are the agreed ones, a site's file goes over them, a wrong one is told in full."""

from pathlib import Path

import pytest

from config.errors import SettingsError
from config.rules import load_rules, spellings


def rules_file(folder: Path, text: str) -> Path:
    path = folder / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(path: Path) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as raised:
        load_rules(path)
    return raised.value.problems


def test_the_built_in_rules_are_the_agreed_ones() -> None:
    rules = load_rules()
    critical = "IDE Workflow Task Analysis Refactoring Testing Deployment Create Execute"
    reading = "Get Fetch Retrieve Load Read Query"
    assert rules.critical_patterns == tuple(f"{word}.*Step$" for word in critical.split())
    assert rules.non_critical_patterns == tuple(f"{word}.*Step$" for word in reading.split())
    assert len(rules.critical_names) == 12
    assert len(rules.non_critical_names) == 11
    assert set(rules.context_keys) == {
        "workflowId",
        "taskId",
        "analysisId",
        "isWorkflowExecution",
        "sequentialRequired",
    }
    assert rules.context_values == {"executionMode": ("workflow",)}


def test_a_file_replaces_what_it_has_and_leaves_the_rest(tmp_path: Path) -> None:
    rules = load_rules(rules_file(tmp_path, 'critical_names = ["MyStep"]\ncontext_keys = []\n'))
    assert rules.critical_names == {"MyStep"}
    assert rules.context_keys == ()
    assert rules.critical_patterns == load_rules().critical_patterns


def test_all_that_is_wrong_in_a_file_is_told_at_once_with_what_is_allowed(tmp_path: Path) -> None:
    path = rules_file(
        tmp_path,
        """
        critical_pattern = ["a"]
        critical_patterns = ["(?=a)", ""]
        non_critical_names = "ReadStep"
        context_values = {mode = "workflow"}
        """,
    )
    problems = problems_of(path)
    assert all(problem.startswith(f"rules file {path}: ") for problem in problems)
    told = [problem.removeprefix(f"rules file {path}: ") for problem in problems]
    assert [sentence.split(":")[0].split(" ")[0] for sentence in told] == [
        "critical_patterns[0]",
        "critical_patterns[1]",
        "non_critical_names",
        "context_values.mode",
        "critical_pattern",
    ]
    assert told[0].endswith("is no RE2 pattern: invalid perl operator: (?=; allowed is a list of RE2 patterns")
    assert "(nearest: critical_patterns); allowed is one of critical_patterns, " in told[-1]
    assert all("allowed is " in sentence for sentence in told)


def test_a_file_that_is_not_there_is_told_with_the_setting_that_names_it(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path / "gone.toml")
    assert "gone.toml: can't be read: No such file" in problem
    assert "STEPLINE_RULES_FILE" in problem


def test_a_file_that_is_no_toml_is_told_with_its_path(tmp_path: Path) -> None:
    path = rules_file(tmp_path, "critical_names")
    (problem,) = problems_of(path)
    assert problem.startswith(f"rules file {path}: is no TOML in UTF-8: ")


@pytest.mark.parametrize(
    ("key", "known_as"),
    [
        ("workflowId", {"workflowId", "workflow_id"}),
        ("workflow_id", {"workflowId", "workflow_id"}),
        ("isWorkflowExecution", {"isWorkflowExecution", "is_workflow_execution"}),
        ("sequential_required", {"sequentialRequired", "sequential_required"}),
        ("mode", {"mode"}),
    ],
)
def test_a_context_key_is_known_in_both_spellings(key: str, known_as: set[str]) -> None:
    assert set(spellings(key)) == known_as
