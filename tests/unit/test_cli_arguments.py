"""What the command line takes, and that everything else is refused with one clear message."""

import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Sequence

import pytest

from producer.cli import main
from producer.cli.arguments import parse
from producer.cli.failures import UsageError
from tests.support.processes import clean_environment


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "COMMAND"),
        (["bogus"], "invalid choice: 'bogus'"),
        (["run"], "FILE|NAME"),
        (["run", "A", "--context", "{"], "'{' is not JSON"),
        (["run", "A", "--context", "[]"], "not a JSON object"),
        (["run", "A", "--context", '{"a": 1, "a": 2}'], "'a' is there twice"),
        (["run", "A", "--context", "[" * 100_000], "is not JSON"),
        (["run", "A", "--params", "path"], "neither a JSON object nor NAME=JSON"),
        (["run", "A", "--params", "A=[]"], "not a JSON object"),
        (["run", "A", "--timeout", "0"], "above 0"),
        (["run", "A", "--timeout", "nan"], "above 0"),
        (["run", "A", "--deadline", "soon"], "above 0"),
        (["run", "A", "--deadline", "inf"], "above 0"),
        (["run", "A", "--mode", "fast"], "invalid choice: 'fast'"),
        (["run", "A", "--order", "none"], "invalid choice"),
        (["run", "A", "--strategy", "none"], "invalid choice"),
        (["run", "A", "--jsn"], "--jsn"),
        (["explain"], "NAME"),
        (["up", "--scale", "3"], "not QUEUE=N"),
        (["up", "--scale", "parallel=-1"], "not QUEUE=N"),
        (["worker"], "--queue"),
        (["steps", "A"], "unrecognized arguments: A"),
    ],
)
def test_wrong_usage_is_one_message_and_exit_code_2(
    given: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(given) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("stepline: ")
    assert message in err
    assert "Traceback" not in err


def test_wrong_usage_with_json_is_one_document_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--json"]) == 2
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out)["error"]["type"] == "UsageError"


def test_all_options_of_run_are_read() -> None:
    options = parse(
        [
            *(
                "run",
                "A",
                "B",
                "--context",
                "{}",
                "--params",
                "A={}",
                "--deadline",
                "2",
                "--mode",
                "sequential",
            ),
            *("--order", "overlap", "--strategy", "simple", "--lane", "x", "--timeout", "1.5", "--json"),
        ]
    )
    assert vars(options) == {
        "command": "run",
        "what": ["A", "B"],
        "context": {},
        "params": [("A", {})],
        "deadline": 2.0,
        "mode": "sequential",
        "order": "overlap",
        "strategy": "simple",
        "lane": "x",
        "timeout": 1.5,
        "json": True,
    }


def test_names_may_stand_between_options() -> None:
    options = parse(["run", "A", "--json", "B", "--timeout", "1", "C"])
    assert (options.what, options.json, options.timeout) == (["A", "B", "C"], True, 1.0)


def test_scale_can_be_given_for_several_queues() -> None:
    assert parse(["up", "--scale", "parallel=3", "--scale", "critical=0"]).scale == [
        ("parallel", 3),
        ("critical", 0),
    ]


@pytest.mark.parametrize("command", ["", "up", "worker", "run", "explain", "steps"])
def test_help_is_there_for_every_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert f"usage: stepline {command}".strip() in capsys.readouterr().out


def test_the_version_is_that_of_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.2.3")
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "stepline 1.2.3\n"


def test_a_checkout_that_is_not_installed_has_no_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert "not installed" in capsys.readouterr().out


def test_an_error_of_the_parser_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=re.escape("(see stepline run --help)")):
        parse(["run"])


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = [
        sys.executable,
        "-m",
        "producer.cli",
        "explain",
        *(f"GetStep{n}" for n in range(3_000)),
        "--json",
    ]
    with subprocess.Popen(program, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout is not None
        command.stdout.close()
        _, err = command.communicate(timeout=20)
    assert (command.returncode, err) == (0, b"")
