"""A site of real workers: up until it is told to stop, then gone whole, whatever happened before."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from config.settings import load_settings
from producer.launcher.embedded import find_site
from producer.launcher.sessions import is_alive
from tests.support.processes import (
    children_of,
    clean_environment,
    command_of,
    processes_naming,
    wait_until,
)

STOP_S = 10.0
"""Within this time, nothing of a site may be left."""

ABANDONED_S = 5.0
"""Half of it without Redis, on a machine that has other things to do; a worker told to stop waits 5.5 s for steps."""

UP_S = 30.0
"""Within this time, a site is up, on a machine that has other things to do."""

STEP_MODULES = "tests.support.site_steps"


class RunningSite:
    """A ``stepline up`` and what can be seen of it from outside."""

    def __init__(self, process: subprocess.Popen[bytes], data_dir: Path, log: Path) -> None:
        self.process = process
        self.data_dir = data_dir
        self._log = log

    def wait_until_up(self) -> None:
        wait_until(lambda: b"Ctrl-C stops" in self._log.read_bytes() or self.process.poll() is not None, UP_S)
        assert self.process.poll() is None, self.log()

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def processes(self) -> list[int]:
        """Return all processes of the site but ``stepline up`` itself, and no command of the test's own."""
        ours = children_of(os.getpid())
        return [pid for pid in processes_naming(str(self.data_dir)) if pid not in ours]

    def worker(self, queue: str) -> int:
        """Return the pid of the parent process of a queue's first worker."""
        return next(pid for pid in children_of(self.process.pid) if f"--queue {queue}" in command_of(pid))

    def redis(self) -> int:
        return next(pid for pid in children_of(self.process.pid) if "redis-server" in command_of(pid))

    def end(self, signum: signal.Signals) -> tuple[int, float]:
        """Send the signal; return the exit code and the seconds it took until every process was gone."""
        started = time.monotonic()
        self.process.send_signal(signum)
        code = self.process.wait(STOP_S)
        wait_until(lambda: not self.processes(), STOP_S)
        return code, time.monotonic() - started


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="module")
def lasting_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    """A site for tests that leave it up, whatever they do to its processes."""
    with _site(tmp_path_factory.mktemp("lasting") / "data") as site:
        yield site


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_of_it_in_time(data_dir: Path, signum: signal.Signals) -> None:
    with _site(data_dir, "--scale", "parallel=2") as site:
        wait_until(lambda: len(site.processes()) >= 5)  # Redis, two parallel workers, a critical one and its child.
        processes = site.processes()
        code, took_s = site.end(signum)
        assert code == 0, site.log()
        assert took_s < STOP_S
        assert not [pid for pid in processes if is_alive(pid)]
        assert find_site(load_settings({"STEPLINE_DATA_DIR": str(data_dir)})) is None


@pytest.mark.parametrize("victim", ["worker", "child of a worker", "redis", "all of them"])
def test_all_of_it_ends_in_time_when_a_child_has_died_before(data_dir: Path, victim: str) -> None:
    with _site(data_dir) as site:
        critical = site.worker("critical")
        wait_until(lambda: children_of(critical))
        before = site.processes()
        victims = {
            "worker": [critical],
            "child of a worker": children_of(critical)[:1],
            "redis": [site.redis()],
            "all of them": before,
        }[victim]
        assert victims
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not [pid for pid in victims if is_alive(pid)])
        code, took_s = site.end(signal.SIGTERM)
        assert code == 0, site.log()
        assert took_s < STOP_S
        assert not [pid for pid in before if is_alive(pid)]


def test_all_of_it_ends_in_time_while_steps_run_that_have_families(data_dir: Path, tmp_path: Path) -> None:
    marker = tmp_path / "family"
    with _site(data_dir) as site:
        with _stepline(data_dir, "run", "WriteWithFamilyStep", "--params", json.dumps({"marker": str(marker)})):
            wait_until(lambda: marker.exists() and marker.read_text())
            family = int(marker.read_text())
            code, took_s = site.end(signal.SIGTERM)
        assert code == 0, site.log()
        assert took_s < STOP_S
        assert not is_alive(family)


def test_when_the_site_itself_is_killed_nothing_outlives_it(data_dir: Path) -> None:
    with _site(data_dir) as site:
        processes = site.processes()
        site.process.kill()
        site.process.wait()
        wait_until(lambda: not [pid for pid in processes if is_alive(pid)], STOP_S)
    with _site(data_dir) as site:  # And the folder can be used again at once.
        assert _run(data_dir, "GetSumStep", "--params", '{"numbers": [1, 2]}')["ok"]


@pytest.mark.parametrize("step", ["WriteSlowlyStep", "GetSlowlyStep"])
def test_when_the_site_is_killed_while_steps_run_its_workers_do_not_wait_for_redis(
    data_dir: Path, tmp_path: Path, step: str
) -> None:
    marker = tmp_path / "began"
    params = json.dumps({"marker": str(marker), "seconds": 30})
    with _site(data_dir) as site, _stepline(data_dir, "run", step, "--params", params) as run:
        wait_until(marker.exists)
        processes = site.processes()
        site.process.kill()
        run.kill()
        site.process.wait()
        wait_until(lambda: not [pid for pid in processes if is_alive(pid)], ABANDONED_S)


def test_a_second_site_on_the_same_folder_is_refused(lasting_site: RunningSite) -> None:
    done = _finish(lasting_site.data_dir, "up")
    assert done.returncode == 2
    assert f"process {lasting_site.process.pid}" in done.stderr


def test_steps_of_the_workers_are_listed_by_who_has_no_code(lasting_site: RunningSite) -> None:
    done = _finish(lasting_site.data_dir, "steps", "--json", STEPLINE_STEP_MODULES="")
    listed = {one["name"]: one for one in json.loads(done.stdout)}
    assert (listed["GetSumStep"]["registered"], listed["GetSumStep"]["on_workers"]) == (False, True)
    assert listed["GetSumStep"]["schema"]["required"] == ["numbers"]


def test_a_worker_that_dies_is_started_again_and_works(lasting_site: RunningSite) -> None:
    first = lasting_site.worker("parallel")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: "parallel-1 was ended by signal 9" in lasting_site.log())
    outcome = _run(lasting_site.data_dir, "GetSumStep", "--params", '{"numbers": [1, 2]}')["outcomes"][0]
    assert (outcome["status"], outcome["value"]) == ("succeeded", 3)


def test_a_run_survives_the_restart_of_redis(lasting_site: RunningSite) -> None:
    os.kill(lasting_site.redis(), signal.SIGTERM)
    wait_until(lambda: "redis ended with code 0" in lasting_site.log())
    assert _run(lasting_site.data_dir, "GetSumStep", "--params", '{"numbers": [1, 2]}')["ok"]


def test_one_more_worker_can_join_a_site(data_dir: Path) -> None:
    with (
        _site(data_dir, "--scale", "parallel=0"),
        _stepline(data_dir, "worker", "--queue", "parallel") as worker,
    ):
        outcome = _run(data_dir, "GetSumStep", "--params", '{"numbers": [1]}')["outcomes"][0]
        assert f"-{worker.pid}-" in outcome["worker"]
        worker.terminate()
        assert worker.wait(STOP_S) == 0


@contextmanager
def _site(data_dir: Path, *options: str) -> Iterator[RunningSite]:
    log = data_dir.parent / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command("up", "--no-flower", *options),
            env=_environment(data_dir),
            cwd=data_dir.parent,
            stdout=output,
            stderr=output,
        )
    site = RunningSite(process, data_dir, log)
    try:
        site.wait_until_up()
        yield site
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(2 * STOP_S)
        for pid in site.processes():
            os.kill(pid, signal.SIGKILL)


@contextmanager
def _stepline(data_dir: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        _command(*arguments),
        env=_environment(data_dir),
        cwd=data_dir.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _finish(data_dir: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(*arguments),
        env=_environment(data_dir, **variables),
        cwd=data_dir.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _run(data_dir: Path, *arguments: str) -> dict[str, Any]:
    done = _finish(data_dir, "run", *arguments, "--json", "--timeout", "30")
    document: dict[str, Any] = json.loads(done.stdout)
    assert "outcomes" in document, document
    return document


def _command(*arguments: str) -> Sequence[str]:
    return [sys.executable, "-m", "producer.cli", *arguments]


def _environment(data_dir: Path, **variables: str) -> dict[str, str]:
    return clean_environment(**{"STEPLINE_DATA_DIR": str(data_dir), "STEPLINE_STEP_MODULES": STEP_MODULES, **variables})
