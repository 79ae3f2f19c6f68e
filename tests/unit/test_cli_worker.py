"""``stepline worker`` becomes a worker process of the site that is up."""

import os
import site
import sys
from pathlib import Path

import pytest

from producer.cli import main, worker
from producer.launcher import worker_process
from producer.launcher.worker_process import PACKAGE_ROOT, worker_environment


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[list[str], dict[str, str]]]:
    """Collect the programs that this process would have become."""
    programs: list[tuple[list[str], dict[str, str]]] = []

    def note(path: str, arguments: list[str], environment: dict[str, str]) -> None:
        programs.append((arguments, environment))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", note)
    monkeypatch.setenv("STEPLINE_DATA_DIR", str(tmp_path))
    return programs


def test_it_becomes_a_worker_of_the_redis_that_is_named(
    replaced: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPLINE_REDIS_URL", "redis://somewhere:6379/0")
    with pytest.raises(SystemExit):
        main(["worker", "--queue", "parallel"])
    ((arguments, environment),) = replaced
    assert arguments == [sys.executable, "-P", "-m", "workers", "--queue", "parallel"]
    assert environment["STEPLINE_REDIS_URL"] == "redis://somewhere:6379/0"


def test_it_is_told_to_drain(replaced: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPLINE_REDIS_URL", "redis://somewhere:6379/0")
    with pytest.raises(SystemExit):
        main(["worker", "--queue", "parallel", "--drain"])
    assert replaced[0][0][-3:] == ["--queue", "parallel", "--drain"]


def test_it_joins_the_site_that_is_up(
    replaced: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "find_site", lambda settings: "unix:///the/site")
    with pytest.raises(SystemExit):
        main(["worker", "--queue", "critical"])
    ((arguments, environment),) = replaced
    assert arguments[-2:] == ["--queue", "critical"]
    assert environment["STEPLINE_REDIS_URL"] == "unix:///the/site"


def test_without_a_site_it_says_how_to_start_one(replaced: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", "--queue", "parallel"]) == 3
    assert "stepline up" in capsys.readouterr().err
    assert not replaced


def test_an_unknown_queue_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", "--queue", "paralel"]) == 2
    assert "'paralel'; the queues are critical, parallel" in capsys.readouterr().err


def test_workers_of_a_checkout_import_from_that_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worker_environment({}, "u")["PYTHONPATH"] == str(PACKAGE_ROOT)
    assert worker_environment({"PYTHONPATH": "/x"}, "u")["PYTHONPATH"] == f"{PACKAGE_ROOT}:/x"
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(PACKAGE_ROOT)])
    assert "PYTHONPATH" not in worker_environment({}, "u")


def test_a_worker_begins_its_log_anew(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "parallel-1.log"
    log.parent.mkdir()
    log.write_text("of the last time")
    command = worker_process.worker_command("parallel", "parallel-1", environment={}, cwd=tmp_path, log_dir=log.parent)
    assert command.log == log
    assert not log.exists()
    own = worker_process.worker_command("parallel", "p", environment={}, cwd=tmp_path, log_dir=None)
    assert own.log is None
