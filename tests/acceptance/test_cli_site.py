"""The commands that look at a real site and its runs, each in words and as its promised document, and bad input."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from producer.cli import main
from tests.support.latches import Latch
from tests.support.processes import ROOT, clean_environment, wait_until
from tests.support.worker_sites import WorkerSite
from tests.unit.test_cli_schemas import check

FINISH_S = 30.0
"""For a command of its own process, on a machine that has other things to do."""

NO_RUN = "000000000000ffffffffffffffff"

Call = Callable[..., str]


@pytest.fixture
def call(site: WorkerSite, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Return what runs a command on the site, checks its exit code and returns its standard output."""
    for name, value in site.joining().items():
        if name.startswith("STEPLINE_"):
            monkeypatch.setenv(name, value)

    def run(*arguments: str, code: int = 0) -> str:
        capfd.readouterr()
        found = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert found == code, err or out
        assert "Traceback" not in err
        return out

    return run


@pytest.fixture
def ask(call: Call) -> Callable[..., Any]:
    """Return what runs a command with --json and returns its document, held against its schema."""

    def run(schema: str, *arguments: str, code: int = 0) -> Any:
        document = json.loads(call(*arguments, "--json", code=code))
        check(schema, document)
        return document

    return run


def test_a_run_is_submitted_seen_while_it_runs_and_seen_when_it_is_done(
    call: Call, ask: Callable[..., Any], latch: Latch
) -> None:
    run_id = call(
        "submit", "GetHeldStep", "--params", params(latch), "--name", "held view", "--priority", "high"
    ).strip()
    latch.wait_until_begun()
    assert ask("status", "status", run_id)["state"] == "running"
    assert "held view): running" in call("status", run_id)
    assert run_id in {run["run_id"] for run in ask("runs", "runs", "--state", "running", "--name", "held view")}
    queues = {queue["name"]: queue for queue in ask("queues", "queues")["queues"]}
    assert queues["parallel"]["running"] >= 1
    latch.open()
    assert [json.loads(line)["event"] for line in call("events", run_id, "--follow", "--json").splitlines()][-1] == (
        "run.completed"
    )
    status = ask("status", "status", run_id)
    assert (status["state"], status["ok"], status["counts"]["succeeded"], status["total"]) == ("completed", True, 1, 1)
    assert run_id in call("runs", "--since", "10m")


def test_each_line_of_the_events_is_as_promised_and_readable(call: Call, ask: Callable[..., Any]) -> None:
    run_id = ask("submit", "submit", "GetSyntheticGitBranchStep", "GetSyntheticGitStatusStep")["run_id"]
    words = call("events", run_id, "--follow").splitlines()
    lines = [json.loads(line) for line in call("events", run_id, "--json").splitlines()]
    for line in lines:
        check("event", line)
    assert len(words) == len(lines)
    assert sum("step.completed" in line for line in words) == 2
    assert words[-1].endswith("run.completed")


def test_a_run_waits_for_a_lane_and_for_other_runs_and_says_so(
    call: Call, ask: Callable[..., Any], latch: Latch
) -> None:
    held = call("submit", "WriteHeldStep", "--params", params(latch)).strip()
    latch.wait_until_begun()
    behind = call("submit", "WriteHeldStep", "--params", params(latch)).strip()
    after = call("submit", "GetHeldStep", "--params", params(latch), "--after", held).strip()
    assert ask("status", "status", behind)["state"] == "queued"
    assert f"held by {held}" in call("status", behind)
    assert ask("status", "status", after)["state"] == "waiting"
    lanes = {lane["lane"]: lane for lane in ask("queues", "queues")["lanes"]}
    assert (lanes["global"]["holder"], lanes["global"]["waiting"]) == (held, 1)
    assert held in call("queues")
    latch.open()
    for run_id in (held, behind, after):
        call("events", run_id, "--follow")
        assert ask("status", "status", run_id)["ok"] is True


def test_a_run_is_cancelled_and_run_again(call: Call, ask: Callable[..., Any], latch: Latch) -> None:
    run_id = call("submit", "GetHeldStep", "--params", params(latch)).strip()
    latch.wait_until_begun()
    assert ask("cancel", "cancel", run_id)["state"] in {"stopping", "completed"}
    call("events", run_id, "--follow")
    assert ask("status", "status", run_id)["counts"]["cancelled"] == 1
    assert run_id in call("runs", "--failed")
    assert "cancelled" in call("cancel", run_id)  # Once more changes nothing.
    latch.open()
    again = ask("retry", "retry", run_id)
    assert (again["retry_of"], again["total_steps"]) == (run_id, 1)
    call("events", again["run_id"], "--follow")
    assert ask("status", "status", again["run_id"])["ok"] is True
    assert ask("error", "retry", again["run_id"], code=2)["error"]["type"] == "InvalidBatch"


def test_a_queue_is_cleared_of_what_has_not_started(call: Call, ask: Callable[..., Any], latch: Latch) -> None:
    running = call("submit", "WriteHeldStep", "--params", params(latch)).strip()
    latch.wait_until_begun()
    waiting = call("submit", "WriteHeldStep", "--params", params(latch)).strip()
    assert ask("clear", "queues", "clear", "critical", "--yes") == {"queue": "critical", "cancelled": 1}
    latch.open()
    for run_id in (running, waiting):
        call("events", run_id, "--follow")
    assert ask("status", "status", running)["counts"]["succeeded"] == 1
    assert ask("status", "status", waiting)["counts"]["cancelled"] == 1
    assert call("queues", "clear", "critical", "--yes") == ""


def test_the_statistics_count_what_ran(call: Call, ask: Callable[..., Any]) -> None:
    call("run", "GetSyntheticGitBranchStep")
    before = ask("stats", "stats")
    call("run", "GetSyntheticGitBranchStep", "GetSyntheticGitStatusStep")
    after = ask("stats", "stats")
    assert after["total_executions"] == before["total_executions"] + 1
    counts = [
        {step["name"]: step["count"] for step in one["steps"]}["GetSyntheticGitBranchStep"] for one in (before, after)
    ]
    assert counts[1] == counts[0] + 1
    assert "GetSyntheticGitBranchStep" in call("stats")


def test_a_plan_is_shown_and_nothing_comes_of_it(call: Call, ask: Callable[..., Any], latch: Latch) -> None:
    runs = ask("runs", "runs")
    plan = ask(
        "plan", "plan", "GetSyntheticGitBranchStep", "WriteHeldStep", "--params", f"WriteHeldStep={params(latch)}"
    )
    assert plan["mode"] == "hybrid"
    assert [(step["critical"], step["lane"]) for step in plan["steps"]] == [(False, None), (True, "global")]
    assert [parcel["steps"] for parcel in plan["parcels"]] == [["WriteHeldStep"], ["GetSyntheticGitBranchStep"]]
    assert plan["expected_ms"] > 0
    assert "hybrid: 1 in 1 lane, 1 side by side" in call(
        "plan", "GetSyntheticGitBranchStep", "WriteHeldStep", "--params", f"WriteHeldStep={params(latch)}"
    )
    assert ask("runs", "runs") == runs


def test_completed_runs_are_forgotten(call: Call, ask: Callable[..., Any]) -> None:
    run_id = ask("run", "run", "GetSyntheticGitBranchStep")["run_id"]
    assert ask("purge", "purge", "--older-than", "1h", "--yes")["forgotten"] == 0
    assert ask("status", "status", run_id)["state"] == "completed"
    assert ask("purge", "purge", "--yes")["forgotten"] >= 1
    assert ask("status", "status", run_id, code=1)["state"] == "not_found"
    assert call("purge", "--yes") == ""


def test_the_doctor_finds_a_site_healthy(call: Call, ask: Callable[..., Any]) -> None:
    found = ask("doctor", "doctor")
    checks = {one["name"]: one for one in found["checks"]}
    assert found["ok"]
    assert checks["workers of critical"]["found"] == "2 live, 2 slots"
    assert checks["persistence"]["verdict"] == "ok"
    assert checks["steps"]["verdict"] == "ok"
    assert "0 in critical, 0 in parallel" in checks["broker"]["found"]
    assert "healthy:" in call("doctor")


def test_the_doctor_finds_what_is_wrong(
    call: Call, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    queues = [
        {"name": "critical", "pool": "prefork"},
        {"name": "parallel", "pool": "threads"},
        {"name": "reports", "pool": "threads"},
    ]
    monkeypatch.setenv("STEPLINE_QUEUES", json.dumps(queues))
    monkeypatch.setenv("STEPLINE_STEP_MODULES", "no.such.module")
    checks = {one["name"]: one for one in ask("doctor", "doctor", code=1)["checks"]}
    assert checks["workers of reports"]["verdict"] == "problem"
    assert checks["step modules"]["verdict"] == "problem"
    assert "not healthy" in call("doctor", code=1)


@pytest.mark.parametrize("command", ["events", "cancel", "retry"])
def test_a_run_that_is_not_there_is_exit_code_2(command: str, call: Call, ask: Callable[..., Any]) -> None:
    assert ask("error", command, NO_RUN, code=2)["error"]["run_id"] == NO_RUN
    assert call(command, NO_RUN, code=2) == ""


def test_the_status_of_a_run_that_is_not_there_is_exit_code_1(call: Call, ask: Callable[..., Any]) -> None:
    assert ask("status", "status", NO_RUN, code=1)["state"] == "not_found"
    assert "not found" in call("status", NO_RUN, code=1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit", "GetSyntheticGitBranchStp"],
        ["submit", "missing.yaml"],
        ["submit", "GetSyntheticGitBranchStep", "--after", NO_RUN],
        ["submit", "GetSyntheticGitBranchStep", "--after", "not an id"],
        ["submit", "GetSyntheticGitBranchStep", "--name", "two\nlines"],
        ["plan", "GetSyntheticGitBranchStp"],
        ["runs", "--since", "yesterday"],
        ["runs", "--limit", "-1"],
        ["queues", "clear", "nowhere", "--yes"],
        ["queues", "clear", "parallel"],
        ["purge"],
        ["purge", "--older-than", "-1h", "--yes"],
        ["status"],
    ],
)
def test_bad_input_is_exit_code_2(arguments: list[str], call: Call, ask: Callable[..., Any]) -> None:
    ask("error", *arguments, code=2)
    assert call(*arguments, code=2) == ""


def test_an_interrupt_ends_following_and_leaves_the_run_alone(
    call: Call, ask: Callable[..., Any], site: WorkerSite, latch: Latch
) -> None:
    run_id = call("submit", "GetHeldStep", "--params", params(latch)).strip()
    latch.wait_until_begun()
    with started(site, "events", run_id, "--follow", "--json") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=FINISH_S)
    assert (process.returncode, err) == (130, "")
    check("event", first)
    check("error", json.loads(rest.splitlines()[-1]))
    assert ask("status", "status", run_id)["state"] == "running"
    latch.open()
    call("events", run_id, "--follow")


def test_without_a_site_a_plan_is_made_from_what_is_registered_here(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "producer.cli", "plan", "GetSyntheticGitBranchStep", "--json"],
        env=clean_environment(
            STEPLINE_DATA_DIR=str(tmp_path / "data"), STEPLINE_STEP_MODULES="examples.view_switch.ten_sleeps"
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=FINISH_S,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    check("plan", document)
    assert document["expected_ms"] == 30_000
    assert not (tmp_path / "data").exists()


def test_a_joined_site_that_stops_leaves_the_id_of_the_run(tmp_path: Path) -> None:
    environment = clean_environment(
        STEPLINE_DATA_DIR=str(tmp_path / "data"),
        STEPLINE_STEP_MODULES="tests.support.site_steps",
        STEPLINE_SHUTDOWN_S="0.5",
    )
    command = [sys.executable, "-m", "producer.cli"]
    marker = tmp_path / "began"
    with subprocess.Popen([*command, "up"], env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as up:
        try:
            assert up.stderr is not None
            wait_until((tmp_path / "data" / "site.json").exists)
            given = ["--params", json.dumps({"marker": str(marker), "seconds": 60}), "--json"]
            with subprocess.Popen(
                [*command, "run", "WriteSlowlyStep", *given],
                env=environment,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as run:
                wait_until(marker.exists)
                up.send_signal(signal.SIGTERM)
                out, err = run.communicate(timeout=FINISH_S)
        finally:
            up.terminate()
            up.communicate(timeout=FINISH_S)
    assert run.returncode == 3, err
    document = json.loads(out)
    check("error", document)
    assert document["error"]["run_id"] in document["error"]["message"]


def params(latch: Latch) -> str:
    return json.dumps({"latch": latch.path})


@contextmanager
def started(site: WorkerSite, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a command on the site as a process of its own, which is ended with the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "producer.cli", *arguments],
        env=site.joining(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
