"""``stepline worker --drain``: it works off what is pending on its queue, and ends well."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.latches import Journal, Latch
from tests.support.processes import ROOT
from tests.support.worker_sites import WorkerSite

DRAINED_S = 30.0
"""Within this time, a worker has started, worked off some quick steps, and ended."""


QUICK_LOOKS = {"STEPLINE_HEARTBEAT_S": "0.05"}
"""A worker looks whether it is done with every heartbeat: often enough to be caught between two tries."""


@pytest.fixture(scope="module")
def bare_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerSite]:
    """A site without workers."""
    site = WorkerSite(tmp_path_factory.mktemp("bare"), scale={"critical": 0, "parallel": 0}, variables=QUICK_LOOKS)
    site.start()
    try:
        yield site
    finally:
        site.stop()


def drain(site: WorkerSite, queue: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "producer.cli", "worker", "--queue", queue, "--drain"]
    return subprocess.run(
        command, env=site.joining(), cwd=ROOT, capture_output=True, text=True, timeout=DRAINED_S, check=False
    )


@pytest.mark.parametrize(("queue", "name"), [("critical", "WriteEchoStep"), ("parallel", "GetEchoStep")])
def test_it_ends_with_code_0_when_all_runs_of_its_queue_are_settled(
    bare_site: WorkerSite, queue: str, name: str
) -> None:
    runs = [bare_site.producer.submit([{"name": name, "params": {"value": 1}}] * 12) for _ in range(3)]
    ended = drain(bare_site, queue)
    assert ended.returncode == 0, ended.stderr
    assert "this worker is done" in ended.stderr
    assert all(run.gather(timeout=5).ok for run in runs)


def test_it_waits_for_what_is_tried_again_later(bare_site: WorkerSite, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    run = bare_site.producer.submit([{"name": "GetFixedStep", "params": {"journal": journal.path}}])
    ended = drain(bare_site, "parallel")
    assert ended.returncode == 0, ended.stderr
    assert len(journal.lines("began")) == 3
    assert run.gather(timeout=5).ok


def test_with_nothing_pending_on_its_queue_it_ends_at_once_and_leaves_the_others_alone(
    bare_site: WorkerSite, latch: Latch
) -> None:
    run = bare_site.producer.submit([latch.call("WriteHeldStep")])
    ended = drain(bare_site, "parallel")
    assert ended.returncode == 0, ended.stderr
    assert not bare_site.is_settled(run.id)
    run.cancel()
