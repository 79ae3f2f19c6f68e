"""Each error has its exit code and its message; no error shows a traceback unless it is asked for."""

import json

import pytest

from config.errors import SettingsError, SteplineError
from producer.cli import entry, main
from producer.cli.failures import RunInterrupted, RunOutOfReach, UsageError, error_document, exit_code, report
from producer.launcher.site_errors import EmbeddedRedisFailed, NoRedisServer, SiteBusy, SiteError
from steps.errors import (
    BrokerUnavailable,
    DuplicateStep,
    GatherTimeout,
    InvalidBatch,
    InvalidStep,
    KeyConflict,
    Problem,
    QueueFull,
    RunLost,
    RunUnknown,
    SubmitUnknown,
    UnfitRedis,
    UnknownStep,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RunLost("r"), 1),
        (SteplineError("x"), 1),
        (RuntimeError("x"), 1),
        (UsageError("x"), 2),
        (SettingsError("x"), 2),
        (InvalidBatch([Problem("steps[0]", "x")]), 2),
        (UnknownStep("A"), 2),
        (InvalidStep("x"), 2),
        (DuplicateStep("A", "x", "y"), 2),
        (KeyConflict("k", "r"), 2),
        (RunUnknown("r"), 2),
        (SiteBusy("x"), 2),
        (BrokerUnavailable("x"), 3),
        (UnfitRedis("x"), 3),
        (SubmitUnknown("r"), 3),
        (RunOutOfReach("r", "x"), 3),
        (SiteError("x"), 3),
        (NoRedisServer("x"), 3),
        (EmbeddedRedisFailed("x"), 3),
        (GatherTimeout("r", 1.0, [], 2), 4),
        (QueueFull("parallel", 2, 1), 5),
        (KeyboardInterrupt(), 130),
        (RunInterrupted("r", cancelled=True), 130),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_all_problems_of_a_batch_are_in_the_document() -> None:
    error = InvalidBatch([Problem("steps[0].name", "is empty"), Problem("context.x", "is not a number")])
    document = error_document(error)["error"]
    assert document["type"] == "InvalidBatch"
    assert document["problems"] == [
        {"path": "steps[0].name", "message": "is empty"},
        {"path": "context.x", "message": "is not a number"},
    ]
    assert "run_id" not in document


def test_a_run_that_goes_on_is_named_in_the_document() -> None:
    assert error_document(GatherTimeout("r7", 1.0, [], 2))["error"]["run_id"] == "r7"


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (KeyboardInterrupt(), "Interrupted", "interrupted"),
        (RunInterrupted("r7", cancelled=True), "Interrupted", "run r7 is cancelled"),
        (RunInterrupted("r7", cancelled=False), "Interrupted", "could not be cancelled"),
        (OSError(28, "No space left on device"), "OSError", "No space left"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError", "internal error: ZeroDivisionError"),
    ],
)
def test_other_errors_are_told_in_words(error: BaseException, kind: str, message: str) -> None:
    document = error_document(error)["error"]
    assert document["type"] == kind
    assert message in document["message"]


def test_an_error_is_one_json_document_or_words_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    report(SiteError("no luck"), as_json=True)
    out, err = capsys.readouterr()
    assert (json.loads(out)["error"]["message"], err) == ("no luck", "")
    report(SiteError("no luck"), as_json=False)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "stepline: no luck\n")


def test_a_defect_shows_its_traceback_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(arguments: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(entry, "parse", broken)
    assert main([]) == 1
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("STEPLINE_LOG_LEVEL", "DEBUG")
    assert main([]) == 1
    assert "Traceback" in capsys.readouterr().err
