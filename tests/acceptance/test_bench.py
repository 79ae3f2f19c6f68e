"""The benchmark as a person runs it, on real workers, cut short."""

import json
import signal
from pathlib import Path

import pytest

from tests.support.processes import ROOT, clean_environment, command_of, processes_naming, python_program, wait_until

QUICK = ("-m", "bench", "--quick", "--only", "view")


def test_one_workload_is_measured_on_both_peers_and_nothing_is_left(tmp_path: Path) -> None:
    document = tmp_path / "figures.json"
    arguments = [*QUICK, "--only", "memory", "--idle", "0", "--no-targets", "--json", str(document)]
    with python_program(arguments, environment=clean_environment(TMPDIR=str(tmp_path)), cwd=ROOT) as bench:
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
    with python_program(list(QUICK), environment=clean_environment(TMPDIR=str(tmp_path)), cwd=ROOT) as bench:
        wait_until(lambda: any(has_worker(pid) for pid in processes_naming(str(tmp_path))))
        bench.send_signal(signum)
        table, progress = bench.communicate(timeout=60)
    assert (bench.returncode, table) == (130, "")
    assert progress.endswith("interrupted; everything that was started is stopped\n")
    assert processes_naming(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def has_worker(pid: int) -> bool:
    return any(program in command_of(pid) for program in ("-m workers", "-m celery"))
