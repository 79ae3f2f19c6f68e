"""``stepline run`` on real workers: its documents, its exit codes, and nothing left behind."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from config.settings import Settings
from producer.launcher.embedded import EmbeddedRedis
from tests.support.processes import ROOT, clean_environment, processes_naming, wait_until
from tests.support.worker_sites import WorkerSite

SCHEMAS = {
    name: json.loads(text)
    for name, text in re.findall(
        r"^```json schema=(\w+)\n(.*?)^```$", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE | re.DOTALL
    )
}

FINISH_S = 60.0
"""For a whole command, with a site to start and stop, on a machine that has other things to do."""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_batch_file_runs_on_a_site_of_its_own_which_is_gone_afterwards(data_dir: Path) -> None:
    batch = data_dir.parent / "batch.yaml"
    marker = data_dir.parent / "marker"
    batch.write_text(
        "steps:\n"
        "  - {name: GetSumStep, params: {numbers: [1, 2, 3]}}\n"
        f"  - {{name: WriteSlowlyStep, id: write, params: {{marker: {marker}, seconds: 0}}}}\n"
    )
    done = _finish(data_dir, "run", str(batch), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    Draft202012Validator(SCHEMAS["run"]).validate(document)
    assert [one["id"] for one in document["outcomes"]] == ["GetSumStep", "write"]
    assert document["outcomes"][0]["value"] == 6
    assert [one["queue"] for one in document["outcomes"]] == ["parallel", "critical"]
    assert not processes_naming(str(data_dir))


def test_people_see_lines_and_a_table(data_dir: Path) -> None:
    done = _finish(data_dir, "run", "GetSumStep", "--params", '{"numbers": [4, 5]}')
    assert done.returncode == 0, done.stderr
    assert "starting one for this run" in done.stderr
    assert "[1/1] GetSumStep succeeded" in done.stderr
    assert "ok: 1 of 1 succeeded" in done.stdout


def test_a_step_that_fails_is_exit_code_1(site: WorkerSite, data_dir: Path) -> None:
    done = _finish(data_dir, "run", "GetFailureStep", "--json", **_joining(site))
    assert done.returncode == 1
    error = json.loads(done.stdout)["outcomes"][0]["error"]
    assert (error["type"], error["message"]) == ("ValueError", "no luck")


def test_bad_input_is_exit_code_2_and_starts_nothing(data_dir: Path) -> None:
    done = _finish(data_dir, "run", "GetSumStp", "--json")
    assert done.returncode == 2
    document = json.loads(done.stdout)
    Draft202012Validator(SCHEMAS["error"]).validate(document)
    assert "GetSumStep" in document["error"]["message"]
    assert not data_dir.exists()


def test_a_redis_that_is_not_there_is_exit_code_3_within_10_s(data_dir: Path) -> None:
    done = _finish(
        data_dir, "run", "GetTroubleStep", "--json", STEPLINE_REDIS_URL="redis://127.0.0.1:1/0", timeout_s=10
    )
    assert done.returncode == 3, done.stderr
    Draft202012Validator(SCHEMAS["error"]).validate(json.loads(done.stdout))


def test_a_gather_that_times_out_is_exit_code_4(data_dir: Path) -> None:
    arguments = ["run", "GetSleepStep", "--params", '{"seconds": 5}', "--timeout", "0.3", "--json"]
    done = _finish(data_dir, *arguments)
    assert done.returncode == 4, done.stderr
    document = json.loads(done.stdout)
    Draft202012Validator(SCHEMAS["error"]).validate(document)
    assert document["error"]["run_id"]
    assert not processes_naming(str(data_dir))


def test_a_full_queue_is_exit_code_5(site: WorkerSite, data_dir: Path) -> None:
    limit = {"STEPLINE_QUEUE_LIMIT": "1"}
    done = _finish(data_dir, "run", "GetFailureStep", "GetFailureStep", "--json", **_joining(site), **limit)
    assert done.returncode == 5, done.stderr
    assert json.loads(done.stdout)["error"]["type"] == "QueueFull"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_cancels_the_run_and_ends_the_site(data_dir: Path, signum: signal.Signals) -> None:
    marker = data_dir.parent / "began"
    params = json.dumps({"marker": str(marker), "seconds": 60})
    command = _command("run", "WriteSlowlyStep", "--params", params, "--json")
    with subprocess.Popen(
        command, env=_environment(data_dir), cwd=data_dir.parent, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            wait_until(marker.exists, FINISH_S)
            process.send_signal(signum)
            out, _ = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == 130
    error = json.loads(out)["error"]
    assert error["type"] == "Interrupted"
    assert "is cancelled" in error["message"]
    assert not processes_naming(str(data_dir))
    assert _status_of_run(data_dir, error["run_id"]) == "cancelled"


def test_two_runs_at_once_share_one_site(data_dir: Path) -> None:
    arguments = ["run", "GetSleepStep", "--json", "--params"]
    with (
        _started(data_dir, *arguments, '{"seconds": 0.1}') as short,
        _started(data_dir, *arguments, '{"seconds": 2}') as long,
    ):
        for process in (short, long):
            out, err = process.communicate(timeout=FINISH_S)
            assert process.returncode == 0, err
            assert json.loads(out)["ok"]
    assert not processes_naming(str(data_dir))


def test_the_exit_code_of_bad_usage_is_2_without_a_traceback(data_dir: Path) -> None:
    done = _finish(data_dir, "run", "GetSumStep", "--params", "{")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def _joining(site: WorkerSite) -> dict[str, str]:
    """Return the settings of a command that joins a site: what it shows needs none of its own."""
    return {name: value for name, value in site.joining().items() if name.startswith("STEPLINE_")}


def _status_of_run(data_dir: Path, run_id: str) -> str:
    """Return the status of a run's only step, read from the files that its site left."""
    source = (
        "import sys; from producer import Producer; from config.settings import load_settings\n"
        "run = Producer(settings=load_settings(), redis_url=sys.argv[1]).attach(sys.argv[2])\n"
        "print(run.gather(timeout=20).outcomes[0].status)"
    )
    with EmbeddedRedis(Settings(data_dir=data_dir).data_dir) as server:
        done = subprocess.run(
            [sys.executable, "-c", source, server.url, run_id],
            env=_environment(data_dir),
            capture_output=True,
            text=True,
            check=True,
            timeout=FINISH_S,
        )
    return done.stdout.strip()


def _finish(
    data_dir: Path, *arguments: str, timeout_s: float = FINISH_S, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(*arguments),
        env=_environment(data_dir, **variables),
        cwd=data_dir.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def _started(data_dir: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        _command(*arguments),
        env=_environment(data_dir),
        cwd=data_dir.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _command(*arguments: str) -> Sequence[str]:
    return [sys.executable, "-m", "producer.cli", *arguments]


def _environment(data_dir: Path, **variables: str) -> dict[str, str]:
    settings: dict[str, Any] = {
        "STEPLINE_DATA_DIR": str(data_dir),
        "STEPLINE_STEP_MODULES": "tests.support.site_steps",
    }
    return clean_environment(**{**settings, **variables})
