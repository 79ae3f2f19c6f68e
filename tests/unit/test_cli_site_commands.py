"""The commands that look at a site and its runs, over a pretended producer: words, documents and exit codes."""

import io
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from producer.cli import main, site_access
from producer.cli.event_lines import line
from producer.cli.status_text import headline
from producer.events import Event
from producer.queue_view import LaneView, QueueView, SiteQueues, WorkerView
from producer.run_status import RunStatus
from producer.site_statistics import Statistics, statistics_of
from steps.classifier import StepClassifier
from steps.errors import InvalidBatch, Problem, RunUnknown
from tests.unit.test_cli_schemas import check

NOON_MS = 1_700_000_000_000.0
COUNTS = {"succeeded": 0, "failed": 0, "timed_out": 0, "cancelled": 0, "skipped": 0, "lost": 0, "pending": 0}
FAILED = RunStatus(
    run_id="0123456789abfedcba9876543210",
    state="completed",
    name="view 42",
    mode="hybrid",
    strategy="basic",
    priority=1,
    submitted_ms=NOON_MS,
    started_ms=NOON_MS + 2,
    settled_ms=NOON_MS + 1250,
    duration_ms=1250.0,
    total=10,
    counts={**COUNTS, "succeeded": 8, "timed_out": 2},
    ok=False,
    waits_for=(),
    after=(),
)
QUEUED = replace(
    FAILED,
    state="queued",
    name=None,
    started_ms=None,
    settled_ms=None,
    counts={**COUNTS, "pending": 10},
    ok=None,
    waits_for=("no live worker on critical", "lane session:42 held by r1 since 12:00:01"),
    after=("r1",),
)
MISSING = replace(
    FAILED,
    run_id="r0",
    state="not_found",
    name=None,
    mode=None,
    strategy=None,
    submitted_ms=None,
    started_ms=None,
    settled_ms=None,
    duration_ms=None,
    total=0,
    counts=COUNTS,
    ok=None,
)
WORKER = WorkerView(
    worker_id="parallel@a-host-of-some-name-12345-0249c2",
    queue="parallel",
    host="a-host-of-some-name",
    pid=12345,
    pool="threads",
    slots=20,
    busy=3,
    started_ms=NOON_MS,
)
QUEUES = SiteQueues(
    queues=(
        QueueView(
            name="critical",
            pool="prefork",
            length=0,
            running=0,
            max_size=100_000,
            oldest_ms=None,
            newest_ms=None,
            slots=0,
            workers=(),
        ),
        QueueView(
            name="parallel",
            pool="threads",
            length=1234,
            running=3,
            max_size=100_000,
            oldest_ms=NOON_MS,
            newest_ms=NOON_MS + 1,
            slots=20,
            workers=(WORKER,),
        ),
    ),
    lanes=(LaneView(lane="session:42", holder="0123456789abfedcba9876543210", since_ms=NOON_MS, waiting=2),),
)
COUNTED = {
    "since": 1_700_000_000_000,
    "runs": 2,
    "runs_ok": 1,
    "run_us": 5_000,
    "b40": 2,
    "sequential": 1,
    "parallel": 3,
}
STATISTICS = statistics_of(
    {**COUNTED, "succeeded": 3, "timed_out": 1, "scheduled": 2, "priority": 12, "rule|pattern": 4},
    {"GetAVeryLongNamedChatHistoryStep": {"succeeded": 3, "timed_out": 1, "us": 4_000_000, "b80": 4}},
    active=1,
    queues=QUEUES,
    rules=StepClassifier().rules,
)
NOTHING = statistics_of({}, {}, active=0, queues=SiteQueues(queues=(), lanes=()), rules=StepClassifier().rules)
STARTED = Event(
    id="1-1",
    event="step.started",
    at_ms=NOON_MS,
    step="GetStep_2",
    name="GetStep",
    attempt=2,
    worker="parallel@h-1",
    status=None,
)
DONE = Event(
    id="1-2",
    event="run.completed",
    at_ms=NOON_MS,
    step=None,
    name=None,
    attempt=None,
    worker=None,
    status=None,
)


class PretendRun:
    id = "r9"
    total_steps = 2

    def events(self, *, follow: bool = False) -> Iterator[Event]:
        yield STARTED
        if follow:
            yield DONE

    def cancel_step(self, step_id: str) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class PretendProducer:
    """A producer that answers as told, and notes what it was asked for."""

    settings = Settings()
    has_history = True

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __enter__(self) -> "PretendProducer":
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit_batch(self, batch: Any) -> PretendRun:
        self.asked.append(batch)
        return PretendRun()

    def attach(self, run_id: str) -> PretendRun:
        return PretendRun() if run_id == "r9" else self._unknown(run_id)

    def status(self, run_id: str) -> RunStatus:
        return {"r9": FAILED, "r8": QUEUED}.get(run_id, MISSING)

    def runs(self, **filters: Any) -> list[RunStatus]:
        self.asked.append(filters)
        return [] if filters["name"] == "none" else [QUEUED, FAILED]

    def cancel(self, run_id: str) -> None:
        if run_id not in {"r8", "r9"}:
            self._unknown(run_id)
        self.asked.append(run_id)

    def retry(self, run_id: str) -> PretendRun:
        if run_id == "r8":
            raise InvalidBatch([Problem("", "run r8 is not completed")])
        return PretendRun()

    def stats(self) -> Statistics:
        return STATISTICS if self.has_history else NOTHING

    def queues(self) -> SiteQueues:
        return QUEUES

    def clear_queue(self, name: str) -> int:
        self.asked.append(name)
        return 7

    def purge(self, *, older_than_s: float = 0) -> int:
        self.asked.append(older_than_s)
        return 5

    def _unknown(self, run_id: str) -> Any:
        raise RunUnknown(run_id)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> PretendProducer:
    made = PretendProducer()
    monkeypatch.setattr(site_access, "Producer", lambda settings: made)
    return made


@pytest.fixture(autouse=True)
def _no_site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEPLINE_DATA_DIR", str(tmp_path / "data"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit", "GetStep"],
        ["runs"],
        ["status", "r9"],
        ["events", "r9"],
        ["cancel", "r9"],
        ["retry", "r9"],
        ["stats"],
        ["queues"],
        ["queues", "clear", "parallel", "--yes"],
        ["purge", "--yes"],
    ],
)
def test_without_a_site_none_is_started_and_the_exit_code_is_3(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*arguments, "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    check("error", document)
    assert "stepline up" in document["error"]["message"]
    assert not (tmp_path / "data").exists()


@pytest.mark.usefixtures("producer")
@pytest.mark.parametrize(
    ("arguments", "schema"),
    [
        (["submit", "GetStep"], "submit"),
        (["runs"], "runs"),
        (["status", "r9"], "status"),
        (["status", "r8"], "status"),
        (["events", "r9"], "event"),
        (["cancel", "r9"], "cancel"),
        (["cancel", "r9", "GetStep"], "cancel"),
        (["pause", "r9"], "pause"),
        (["resume", "r9"], "resume"),
        (["retry", "r9"], "retry"),
        (["stats"], "stats"),
        (["queues"], "queues"),
        (["queues", "clear", "parallel", "--yes"], "clear"),
        (["purge", "--yes"], "purge"),
    ],
)
def test_each_document_is_as_promised(arguments: list[str], schema: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    check(schema, json.loads(out))
    assert err == ""


def test_submit_prints_the_id_of_the_run_alone(producer: PretendProducer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "GetStep", "--name", "view 42", "--priority", "high", "--after", "r1"]) == 0
    assert capsys.readouterr().out == "r9\n"
    (batch,) = producer.asked
    assert (batch.name, batch.priority, tuple(batch.after)) == ("view 42", "high", ("r1",))


@pytest.mark.usefixtures("producer")
def test_a_run_that_is_not_there_is_a_status_with_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "r0"]) == 1
    assert "run r0: not found" in capsys.readouterr().out
    assert main(["status", "r0", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    check("status", document)
    assert document["state"] == "not_found"


@pytest.mark.usefixtures("producer")
@pytest.mark.parametrize("command", ["events", "cancel", "pause", "resume", "retry"])
def test_other_commands_refuse_a_run_that_is_not_there(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if command == "retry":
        monkeypatch.setattr(PretendProducer, "retry", PretendProducer._unknown)
    assert main([command, "r0", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    check("error", document)
    assert document["error"]["run_id"] == "r0"


@pytest.mark.usefixtures("producer")
def test_a_status_says_what_the_run_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "r8"]) == 0
    out = capsys.readouterr().out
    assert "waits for  no live worker on critical" in out
    assert "waits for  lane session:42 held by r1 since 12:00:01" in out
    assert "after      r1" in out
    assert "completed" not in out


def test_the_headline_says_name_state_and_verdict() -> None:
    assert headline(FAILED).endswith("3210 (view 42): completed, not ok")
    assert headline(replace(FAILED, ok=True)).endswith("completed, ok")
    assert headline(MISSING) == "run r0: not found"


def test_the_filters_of_a_list_of_runs_are_passed_on(producer: PretendProducer) -> None:
    assert main(["runs", "--state", "queued", "--name", "n", "--since", "1h", "--limit", "3", "--failed"]) == 0
    assert main(["runs"]) == 0
    assert producer.asked == [
        {"state": "queued", "name": "n", "since_s": 3600.0, "ok": False, "limit": 3},
        {"state": None, "name": None, "since_s": None, "ok": None, "limit": 50},
    ]


@pytest.mark.usefixtures("producer")
def test_a_list_without_runs_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--name", "none"]) == 0
    assert capsys.readouterr() == ("", "stepline: no such runs\n")
    assert main(["runs", "--name", "none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.usefixtures("producer")
def test_events_are_a_line_each_also_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "r9", "--follow"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["events", "r9", "--follow", "--json"]) == 0
    assert [json.loads(text)["event"] for text in capsys.readouterr().out.splitlines()] == [
        "step.started",
        "run.completed",
    ]


def test_an_event_says_step_worker_and_attempt() -> None:
    assert line(STARTED)[13:] == "step.started   GetStep_2 (GetStep) on parallel@h-1, attempt 2"
    assert line(DONE)[13:] == "run.completed"
    assert "\x1b" not in line(replace(STARTED, worker="\x1b[31m"))


def test_a_run_that_expires_while_it_is_cancelled_is_not_there(
    producer: PretendProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer, "status", lambda run_id: MISSING)
    assert main(["cancel", "r9"]) == 2


@pytest.mark.usefixtures("producer")
def test_retry_prints_the_id_of_the_new_run_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["retry", "r9"]) == 0
    assert capsys.readouterr().out == "r9\n"


@pytest.mark.usefixtures("producer")
def test_a_run_that_cannot_be_run_again_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["retry", "r8"]) == 2
    assert "is not completed" in capsys.readouterr().err


@pytest.mark.usefixtures("producer")
@pytest.mark.parametrize(
    "arguments",
    [["runs"], ["status", "r8"], ["cancel", "r8"], ["stats"], ["queues"], ["events", "r9", "--follow"]],
)
def test_at_eighty_columns_no_line_is_longer(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    assert main(arguments) == 0
    shown = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown


def test_statistics_are_said_in_words_without_zeros(
    producer: PretendProducer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stats"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "runs 2 completed, 1 ok, 1 active, 2 accepted" in out
    assert "outcomes 3 succeeded, 1 timed out rates success 75.0%, failure 0.0%, time-out 25.0%" in out
    assert "decided by 4 pattern" in out
    assert "1234 steps wait (each queue takes 100000), 3 of 20 slots busy on 1 workers" in out
    assert "GetAVeryLongNamedChatHistoryStep 4 3 succeeded, 1 timed out 1000.0" in out


def test_a_site_that_has_run_nothing_has_zeros(producer: PretendProducer, capsys: pytest.CaptureFixture[str]) -> None:
    producer.has_history = False
    assert main(["stats"]) == 0
    assert "nothing has run yet" in capsys.readouterr().out
    assert main(["stats", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    check("stats", document)
    assert (document["since_ms"], document["total_executions"], document["success_rate"]) == (None, 0, 0.0)


def test_clearing_and_forgetting_need_a_yes(producer: PretendProducer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queues", "clear", "parallel", "--json"]) == 2
    assert main(["purge", "--json"]) == 2
    assert producer.asked == []
    assert "--yes" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "code", "asked"), [("y", 0, [0.0]), ("n", 1, []), ("", 1, [])])
def test_on_a_terminal_the_question_is_asked(
    answer: str, code: int, asked: list[float], producer: PretendProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    assert main(["purge"]) == code
    assert producer.asked == asked


def test_declining_to_clear_a_queue_changes_nothing(
    producer: PretendProducer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("no\n"))
    assert main(["queues", "clear", "parallel"]) == 1
    assert producer.asked == []
    assert "cancel all steps in queue parallel" in capsys.readouterr().err


def test_what_was_cleared_and_forgotten_is_counted(
    producer: PretendProducer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["queues", "clear", "parallel", "--yes"]) == 0
    assert main(["purge", "--older-than", "1h", "--yes"]) == 0
    assert producer.asked == ["parallel", 3600.0]
    err = capsys.readouterr().err
    assert "7 steps cancelled in queue parallel" in err
    assert "5 runs forgotten" in err


def test_a_queue_that_the_settings_lack_is_refused(
    producer: PretendProducer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["queues", "clear", "paralel", "--yes", "--json"]) == 2
    assert "parallel" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert producer.asked == []
