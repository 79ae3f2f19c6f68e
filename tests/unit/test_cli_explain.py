"""``stepline explain``: every name has a class and a reason, and no broker is needed for it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from producer.cli import main
from steps import StepRegistry, step
from tests.support.processes import clean_environment


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_each_name_is_explained_in_the_order_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "GetChatHistoryStep", "Nonsense", "IDESendMessageStep", "--json"]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["critical"], one["rule"]) for one in explained] == [
        ("GetChatHistoryStep", False, "explicit"),
        ("Nonsense", True, "default"),
        ("IDESendMessageStep", True, "explicit"),
    ]
    assert all(set(one) == {"name", "critical", "reason", "rule"} and one["reason"] for one in explained)


def test_the_context_has_its_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "GetAnythingStep", "--context", '{"workflow_id": "7"}', "--json"]) == 0
    (explained,) = json.loads(capsys.readouterr().out)
    assert (explained["critical"], explained["rule"]) == (True, "context")


def test_what_a_step_module_prints_is_no_part_of_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talking_steps.py").write_text("print('here I am')\n")
    monkeypatch.setenv("STEPLINE_STEP_MODULES", "talking_steps")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["explain", "GetChatStep", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)[0]["name"] == "GetChatStep"
    assert printed.err == "here I am\n"


def test_the_decorator_has_its_say(capsys: pytest.CaptureFixture[str]) -> None:
    with StepRegistry().isolated():
        step(name="GetDangerousStep", critical=True)(lambda: None)
        assert main(["explain", "GetDangerousStep", "--json"]) == 0
    (explained,) = json.loads(capsys.readouterr().out)
    assert (explained["critical"], explained["rule"]) == (True, "decorator")


def test_people_get_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "GetChatHistoryStep"]) == 0
    out = capsys.readouterr().out
    assert "GetChatHistoryStep" in out
    assert "non-critical" in out


def test_a_name_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "Get\x1b[31mStep[bold]"]) == 0
    out = capsys.readouterr().out
    assert "\x1b[31m" not in out
    assert "Get\\x1b[31mStep[bold]" in out


def test_a_step_module_that_is_missing_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEPLINE_STEP_MODULES", "no_such_module_anywhere")
    assert main(["explain", "A"]) == 2
    assert "no_such_module_anywhere" in capsys.readouterr().err


def test_a_wrong_setting_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEPLINE_UNKNOWN_IS_CRITICAL", "perhaps")
    assert main(["explain", "A"]) == 2
    assert "STEPLINE_UNKNOWN_IS_CRITICAL" in capsys.readouterr().err


def test_it_starts_without_what_only_other_commands_need(tmp_path: Path) -> None:
    source = (
        "import sys; from producer.cli import main; main(['explain', 'GetStep', '--json'])\n"
        "print(sorted({'celery', 'kombu', 'redis'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", source],
        env=clean_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_step_modules_are_found_in_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "own_steps.py").write_text(
        "from steps import step\n@step(critical=True)\ndef GetOwnStep() -> None: ...\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-m", "producer.cli", "explain", "GetOwnStep", "--json"],
        env=clean_environment(STEPLINE_STEP_MODULES="own_steps"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)[0]["rule"] == "decorator"
