"""The Celery task of a parcel, and how a worker is started wrongly."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from producer.publish import PARCEL_TASK
from workers import __main__ as entry
from workers import tasks


@pytest.fixture
def app() -> Iterator[Celery]:
    before = tasks._pipeline
    with Celery("test", set_as_current=False) as app:
        yield app
    tasks._pipeline = before


def test_a_message_is_handed_to_the_pipeline_of_its_process(app: Celery) -> None:
    parcels = []
    task = tasks.register(app)
    tasks.set_pipeline(lambda run_id, number: parcels.append((run_id, number)))
    task.apply(args=("r", 3), throw=True)
    assert parcels == [("r", 3)]
    assert (task.name, task.acks_late, task.ignore_result) == (PARCEL_TASK, True, True)


def test_a_message_that_comes_too_early_says_so(app: Celery) -> None:
    task = tasks.register(app)
    tasks._pipeline = None
    with pytest.raises(RuntimeError, match="before this process was ready"):
        task.apply(args=("r", 3), throw=True)


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEPLINE_REDIS_URL", raising=False)
    monkeypatch.setattr(entry, "set_up_logging", lambda settings: None)  # it would take the test's own logging away


@pytest.mark.usefixtures("no_settings")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--queue"),
        (["--queue"], "expected one argument"),
        (["--queue", "parallel"], "STEPLINE_REDIS_URL is not set"),
    ],
    ids=["no queue", "no name", "no Redis"],
)
def test_a_worker_started_wrongly_is_told_how(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        entry.main(arguments)
    assert left.value.code == entry.BAD_USAGE
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("no_settings")
@pytest.mark.parametrize(
    ("variable", "value", "queue", "message"),
    [
        ("STEPLINE_LEASE_S", "soon", "parallel", "STEPLINE_LEASE_S"),
        ("STEPLINE_REDIS_URL", "redis://localhost", "nowhere", "'nowhere'"),
    ],
    ids=["a wrong setting", "no such queue"],
)
def test_what_is_wrong_with_the_settings_is_said(
    variable: str,
    value: str,
    queue: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    assert entry.main(["--queue", queue]) == entry.BAD_USAGE
    assert message in capsys.readouterr().err
