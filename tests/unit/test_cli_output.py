"""What people see of a run: progress while it lasts and a table at the end, whatever steps return."""

import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from producer.cli import progress
from producer.cli.progress import line, shown_progress
from producer.cli.tables import SHOWN_CHARS, outcome_row, print_outcomes, summary
from steps.errors import RunLost
from steps.outcome import STATUSES, Outcome, OutcomeError

GOOD = Outcome(
    id="GetChatStep",
    name="GetChatStep",
    status="succeeded",
    value={"total": 3},
    attempts=1,
    queued_ms=1.234,
    ran_ms=12.06,
    worker="parallel-1",
    critical=False,
    reason="listed",
    rule="explicit",
    queue="parallel",
)
BAD = Outcome(
    id="WriteStep",
    name="WriteStep",
    status="failed",
    error=OutcomeError("ValueError", "no [red]such\x1b[31m thing"),
    attempts=2,
    ran_ms=1.0,
    worker="critical-1",
    critical=True,
    reason="unknown",
    rule="default",
    queue="critical",
    lane="global",
)
SKIPPED = Outcome(
    id="LastStep",
    name="LastStep",
    status="skipped",
    critical=True,
    reason="r",
    rule="default",
    queue="critical",
)


@dataclass
class FakeRun:
    settled: tuple[Outcome, ...]
    breaks: bool = False

    @property
    def total_steps(self) -> int:
        return len(self.settled)

    def outcomes(self) -> Iterator[Outcome]:
        yield from self.settled
        if self.breaks:
            raise RunLost("r")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_row_says_class_rule_place_and_times() -> None:
    assert outcome_row(GOOD) == (
        *("GetChatStep", "succeeded", "non-critical (explicit)", "parallel", "-", "parallel-1"),
        *("1", "1.2", "12.1", '{"total": 3}'),
    )
    assert outcome_row(SKIPPED)[4:] == ("-", "-", "0", "-", "-", "null")


def test_long_values_are_cut() -> None:
    outcome = replace(GOOD, value="x" * 1000)
    assert len(summary(outcome)) == SHOWN_CHARS
    assert summary(outcome).endswith("…")


def test_a_table_shows_steps_words_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_outcomes([GOOD, BAD, SKIPPED])
    out = capsys.readouterr().out
    assert "ValueError: no [red]such\\x1b[31m thing" in out
    assert "\x1b" not in out


def test_a_table_on_a_narrow_terminal_is_still_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    print_outcomes([GOOD, BAD])
    shown = screen.getvalue()
    assert all(word in shown for cell in outcome_row(GOOD)[:-1] for word in cell.split())
    assert "WriteStep: ValueError: no [red]such\\x1b[31m thing" in shown


def test_on_a_terminal_of_eighty_columns_no_line_of_a_table_is_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    print_outcomes(
        [replace(GOOD, worker="parallel@a-host-of-some-name-12345-0249c2", queued_ms=12345.6, ran_ms=234567.8)]
    )
    shown = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
    assert max(map(len, shown.splitlines())) <= 80
    assert "12345.6" in shown
    assert "234567.8" in shown


def test_elsewhere_than_on_a_terminal_each_outcome_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(FakeRun((GOOD, BAD, SKIPPED)), lines=True):
        pass
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "stepline: [1/3] GetChatStep succeeded in 12.1 ms on parallel-1",
        "stepline: [2/3] WriteStep failed in 1.0 ms on critical-1: ValueError: no [red]such\\x1b[31m thing",
        "stepline: [3/3] LastStep skipped",
    ]


def test_a_long_error_is_cut_in_its_line_as_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = replace(BAD, error=OutcomeError("ValueError", "first\n" + "x" * 10_000))
    with shown_progress(FakeRun((outcome,)), lines=True):
        pass
    (told,) = capsys.readouterr().err.splitlines()
    assert told.endswith("…")
    assert "ValueError: first x" in told
    assert len(told) < 2 * SHOWN_CHARS


def test_without_lines_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(FakeRun((GOOD,)), lines=False):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_live_display(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with shown_progress(FakeRun((GOOD, BAD)), lines=False):
        pass
    assert "[1/2] GetChatStep succeeded" in screen.getvalue()
    assert "[2/2] WriteStep failed" in screen.getvalue()


def test_an_error_of_the_display_is_left_to_gather(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(FakeRun((GOOD,), breaks=True), lines=True):
        pass
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_error_in_the_block_comes_through_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LAST_LINES_S", 100.0)
    with pytest.raises(KeyboardInterrupt), shown_progress(FakeRun((GOOD,)), lines=True):
        raise KeyboardInterrupt


def test_a_line_of_a_step_that_never_ran_names_no_worker() -> None:
    assert line(SKIPPED, 1, 1) == "[1/1] LastStep skipped"


def test_every_status_has_a_style() -> None:
    for status in STATUSES:
        print_outcomes([replace(GOOD, status=status)])
