"""The benchmark as a person runs it, on real workers, cut short."""

import json
import signal
from pathlib import Path

import pytest

from tests.support.code_repositories import commit_all, copy_project, git
from tests.support.processes import (
    ROOT,
    clean_environment,
    command_of,
    processes_naming,
    python_program,
    untraced,
    wait_until,
)

QUICK = ("-m", "bench", "--quick", "--only", "view")


def test_one_workload_is_measured_on_both_peers_and_nothing_is_left(tmp_path: Path) -> None:
    document = tmp_path / "figures.json"
    arguments = [*QUICK, "--only", "memory", "--idle", "0", "--no-targets", "--json", str(document)]
    with python_program(arguments, environment=untraced(clean_environment(TMPDIR=str(tmp_path))), cwd=ROOT) as bench:
        table, progress = bench.communicate(timeout=120)
    assert bench.returncode == 0, progress
    assert "| ten-sleep view (limit 117) | plain Celery |" in table
    assert "| ten-sleep view (limit 117) | Stepline     |" in table
    figures = json.loads(document.read_text())
    readings = {reading["row"]: reading for reading in figures["readings"]}
    assert set(readings) == {"plain Celery", "Stepline"}
    assert all(min(reading["seconds"]) >= 0.117 for reading in readings.values())
    assert [readings[row]["redis"]["commands"]["lpush"] for row in ("plain Celery", "Stepline")] == [30, 3]
    assert [set(idle["pss_mb"]) for idle in sorted(figures["idle"], key=lambda idle: idle["row"])] == [
        {"critical-1", "parallel-1"},
        {"celery"},
    ]
    assert processes_naming(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == [document]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_benchmark_ends_all_that_it_started(tmp_path: Path, signum: signal.Signals) -> None:
    with python_program(list(QUICK), environment=untraced(clean_environment(TMPDIR=str(tmp_path))), cwd=ROOT) as bench:
        wait_until(lambda: any(has_worker(pid) for pid in processes_naming(str(tmp_path))))
        bench.send_signal(signum)
        table, progress = bench.communicate(timeout=60)
    assert (bench.returncode, table) == (130, "")
    assert progress.endswith("interrupted; everything that was started is stopped\n")
    assert processes_naming(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def has_worker(pid: int) -> bool:
    return any(program in command_of(pid) for program in ("-m workers", "-m celery"))


def test_the_code_of_both_commits_is_what_runs_and_nothing_is_left(tmp_path: Path) -> None:
    project, scratch, document = copy_project(tmp_path / "project"), tmp_path / "scratch", tmp_path / "figures.json"
    told = tmp_path / "told"
    scratch.mkdir()
    make_packages_tell(project, "before")
    commit = commit_all(project)
    make_packages_tell(project, "after")
    status = git(project, "status", "--porcelain")
    wanted = ["--compare", "HEAD", "--quick", "--only", "noop1", "--no-targets", "--json", str(document)]
    own = {"PYTHONPATH": str(project), "TMPDIR": str(scratch), "TOLD_IN": str(told)}
    environment = untraced(clean_environment(**own))
    with python_program(["-m", "bench", *wanted], environment=environment, cwd=project) as bench:
        report, progress = bench.communicate(timeout=120)
    assert bench.returncode == 0, progress
    assert set(told.read_text().splitlines()) == {
        f"{word} {package}" for word in ("before", "after") for package in ("bench.stepline_peer", "steps", "workers")
    }
    figures = json.loads(document.read_text())
    assert (figures["before"], figures["after"]) == ({"commit": commit}, {"commit": commit, "is_changed": True})
    assert [len(turn[side]["seconds"]) for turn in figures["turns"] for side in ("before", "after")] == [2] * 10
    assert "| 1 no-op step |" in report
    assert f"{project} has changes that are in no commit" in progress
    assert list(scratch.iterdir()) == []
    assert processes_naming(str(tmp_path)) == []
    assert git(project, "status", "--porcelain") == status


def make_packages_tell(project: Path, word: str) -> None:
    """Let packages and the peer write the word and their name to a file where a peer or a worker runs them."""
    for file in ("steps/__init__.py", "workers/__init__.py", "bench/stepline_peer.py"):
        path = project / file
        name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        path.write_text(path.read_text().partition("# telling\n")[0] + TELLING.format(word=word, name=name))


TELLING = """# telling
import os, sys
if sys.orig_argv[-1].startswith(("bench.stepline_peer", "critical", "parallel")):
    with open(os.environ["TOLD_IN"], "a") as told:
        told.write("{word} {name}\\n")
"""
