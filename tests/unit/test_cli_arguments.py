"""What the command line takes, and that everything else is refused with one clear message."""

import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Sequence

import pytest

from producer.cli import main
from producer.cli.argument_types import duration
from producer.cli.arguments import parse
from producer.cli.entry import COMMANDS
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
        (["submit"], "FILE|NAME"),
        (["submit", "A", "--timeout", "1"], "--timeout"),
        (["submit", "A", "--priority", "urgent"], "invalid choice: 'urgent'"),
        (["plan", "A", "--timeout", "1"], "--timeout"),
        (["status"], "RUN"),
        (["events"], "RUN"),
        (["runs", "--state", "not_found"], "invalid choice: 'not_found'"),
        (["runs", "--since", "yesterday"], "'yesterday' is not a duration, such as 90s"),
        (["runs", "--since", "-1h"], "--since"),
        (["runs", "--limit", "0"], "'0' is not a whole number above 0"),
        (["runs", "--limit", "many"], "'many' is not a whole number above 0"),
        (["queues", "drop"], "invalid choice: 'drop'"),
        (["queues", "clear"], "name the queue"),
        (["purge", "--older-than", "1 week"], "'1 week' is not a duration"),
        (["doctor", "now"], "unrecognized arguments: now"),
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
        "name": None,
        "priority": None,
        "after": None,
        "idempotency_key": None,
        "supersede": None,
        "queue_timeout": None,
        "json": True,
    }


def test_names_may_stand_between_options() -> None:
    options = parse(["run", "A", "--json", "B", "--timeout", "1", "C"])
    assert (options.what, options.json, options.timeout) == (["A", "B", "C"], True, 1.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("90s", 90.0), ("250ms", 0.25), ("15m", 900.0), ("1.5h", 5400.0), ("2d", 172800.0), ("0", 0.0)],
)
def test_a_duration_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def test_what_a_run_waits_for_can_be_given_more_than_once() -> None:
    options = parse(["submit", "A", "--after", "r1", "--after", "r2", "--name", "view 42", "--priority", "high"])
    assert (options.after, options.name, options.priority) == (["r1", "r2"], "view 42", "high")


def test_what_is_to_be_cleared_stands_among_options() -> None:
    options = parse(["queues", "--json", "clear", "parallel", "--yes"])
    assert (options.action, options.queue, options.yes, options.json) == ("clear", "parallel", True, True)


def test_scale_can_be_given_for_several_queues() -> None:
    assert parse(["up", "--scale", "parallel=3", "--scale", "critical=0"]).scale == [
        ("parallel", 3),
        ("critical", 0),
    ]


@pytest.mark.parametrize("command", ["", *COMMANDS])
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
