"""``stepline run`` over a pretended producer: what it submits, prints and returns, and when interrupted."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from producer.cli import main, run
from producer.planning.batch import Batch
from producer.result import Result
from steps.classifier import StepClassifier
from steps.errors import BrokerUnavailable, GatherTimeout, InvalidBatch, Problem, QueueFull
from steps.outcome import Outcome, OutcomeError

GOOD = Outcome(
    id="GetStep",
    name="GetStep",
    status="succeeded",
    value=1,
    critical=False,
    reason="r",
    rule="pattern",
    queue="parallel",
)
BAD = Outcome(
    id="WriteStep",
    name="WriteStep",
    status="failed",
    error=OutcomeError("ValueError", "no"),
    critical=True,
    reason="r",
    rule="default",
    queue="critical",
    lane="global",
)


class PretendRun:
    def __init__(self, ending: Any, cancelling: Exception | None = None) -> None:
        self.id = "r7"
        self.total_steps = 1
        self.is_cancelled = False
        self.timeouts: list[float | None] = []
        self._ending = ending
        self._cancelling = cancelling

    def outcomes(self) -> Iterator[Outcome]:
        yield GOOD

    def gather(self, timeout: float | None = None) -> Result:
        self.timeouts.append(timeout)
        if isinstance(self._ending, BaseException):
            raise self._ending
        return result_of(*self._ending)

    def cancel(self) -> None:
        if self._cancelling is not None:
            raise self._cancelling
        self.is_cancelled = True


class PretendProducer:
    """A producer whose one run ends as told; `batches` holds what was submitted."""

    def __init__(self, run_: PretendRun, refusing: Exception | None = None) -> None:
        self.run = run_
        self.batches: list[Batch] = []
        self.is_closed = False
        self._refusing = refusing

    def submit_batch(self, batch: Batch) -> PretendRun:
        if self._refusing is not None:
            raise self._refusing
        self.batches.append(batch)
        return self.run

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return what installs a pretended producer, whose run ends with the outcomes or the error given."""
    monkeypatch.chdir(tmp_path)

    @contextmanager
    def joined(*_: object, **__: object) -> Iterator[str]:
        yield "redis://pretended"

    def install(ending: Any = (GOOD,), **arguments: Any) -> PretendProducer:
        refusing = arguments.pop("refusing", None)
        producer = PretendProducer(PretendRun(ending, **arguments), refusing)
        monkeypatch.setattr(run, "Producer", lambda **_: producer)
        monkeypatch.setattr(run, "joined_site", joined)
        return producer

    return install


def test_all_ok_is_exit_code_0_with_a_table_and_a_verdict(pretend: Any, capsys: pytest.CaptureFixture[str]) -> None:
    producer = pretend()
    assert main(["run", "GetStep", "--timeout", "3"]) == 0
    out, err = capsys.readouterr()
    assert "ok: 1 of 1 succeeded in 12.0 ms (hybrid), run r7" in out
    assert "GetStep" in out
    assert "[1/1] GetStep succeeded" in err
    assert producer.run.timeouts == [3.0]
    assert producer.is_closed


def test_a_step_that_is_not_ok_is_exit_code_1(pretend: Any, capsys: pytest.CaptureFixture[str]) -> None:
    pretend((GOOD, BAD))
    assert main(["run", "GetStep", "WriteStep"]) == 1
    out = capsys.readouterr().out
    assert "not ok: 1 of 2 succeeded" in out
    assert "ValueError: no" in out


def test_json_is_the_result_and_nothing_else(pretend: Any, capsys: pytest.CaptureFixture[str]) -> None:
    pretend((GOOD, BAD))
    assert main(["run", "GetStep", "WriteStep", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == result_of(GOOD, BAD).as_dict()
    assert err == ""


def test_a_fallback_is_said(pretend: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    producer = pretend()
    monkeypatch.setattr(producer.run, "gather", lambda timeout: result_of(GOOD, fallback="no worker on parallel"))
    assert main(["run", "GetStep"]) == 0
    assert "(hybrid, no worker on parallel)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidBatch([Problem("steps[0]", "is wrong")]), 2),
        (BrokerUnavailable("Redis does not answer"), 3),
        (QueueFull("parallel", 5, 5), 5),
    ],
)
def test_a_refused_batch_has_the_exit_code_of_its_error(
    pretend: Any, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    producer = pretend(refusing=error)
    assert main(["run", "GetStep", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["error"]["type"] == type(error).__name__
    assert producer.is_closed


def test_a_gather_that_times_out_is_exit_code_4_and_names_the_run(
    pretend: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    producer = pretend(GatherTimeout("r7", 0.5, [GOOD], 2))
    assert main(["run", "GetStep", "--timeout", "0.5", "--json"]) == 4
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["type"], error["run_id"]) == ("GatherTimeout", "r7")
    assert not producer.run.is_cancelled


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_site_that_goes_away_while_it_is_waited_for_leaves_the_id_of_the_run(
    pretend: Any, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    pretend(BrokerUnavailable("Redis does not answer"))
    assert main(["run", "GetStep", *options]) == 3
    out, err = capsys.readouterr()
    assert "Redis does not answer; run r7 was accepted: stepline status r7" in (out or err)
    if out:
        assert json.loads(out)["error"]["run_id"] == "r7"


def test_an_interrupt_cancels_the_run_first(pretend: Any, capsys: pytest.CaptureFixture[str]) -> None:
    producer = pretend(KeyboardInterrupt())
    assert main(["run", "GetStep", "--json"]) == 130
    assert producer.run.is_cancelled
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["type"], error["run_id"]) == ("Interrupted", "r7")


def test_an_interrupt_with_the_broker_gone_says_that_the_run_goes_on(
    pretend: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(KeyboardInterrupt(), cancelling=BrokerUnavailable("gone"))
    assert main(["run", "GetStep"]) == 130
    assert "could not be cancelled" in capsys.readouterr().err


def test_what_was_asked_for_is_submitted(pretend: Any) -> None:
    producer = pretend()
    assert main(["run", "A", "B", "--params", 'B={"x": 1}', "--context", '{"k": 2}', "--deadline", "4"]) == 0
    (batch,) = producer.batches
    assert [(call.name, call.params) for call in batch.calls] == [("A", {}), ("B", {"x": 1})]
    assert (batch.context, batch.deadline_s) == ({"k": 2}, 4.0)


def result_of(*outcomes: Outcome, fallback: str | None = None) -> Result:
    return Result(
        run_id="r7",
        mode="hybrid",
        total_ms=12.0,
        outcomes=outcomes,
        classification=StepClassifier().classify_steps([outcome.name for outcome in outcomes]),
        fallback=fallback,
    )
