"""A peer of the benchmark as a process: asked, broken, and ended whole."""

from pathlib import Path

import pytest

from bench import peer_process
from bench.peer_process import PeerBroke, PeerProcess, peer_environment
from bench.workloads import Load
from producer.launcher.sessions import is_alive
from tests.support.processes import wait_until

LOAD = Load(parallel_ms=(0, 0), repeats=4)


def start(folder: Path, behaviour: str, module: str = "tests.support.stub_peer") -> PeerProcess:
    environment = {**peer_environment(folder, "unix:///nowhere"), "STUB_PEER": behaviour}
    return PeerProcess(module, environment=environment, folder=folder)


def test_a_peer_answers_each_load_and_ends_when_it_is_told(tmp_path: Path) -> None:
    with start(tmp_path, "right") as peer:
        answers = [peer.run(LOAD), peer.run(LOAD)]
        assert peer.workers == {"own": peer.pid}
        assert "celery" in peer.versions
    assert [(len(answer["seconds"]), answer["batches"]) for answer in answers] == [(4, 4), (4, 4)]
    assert not is_alive(peer.pid)


def test_a_peer_whose_results_are_wrong_measures_nothing(tmp_path: Path) -> None:
    peer = start(tmp_path, "wrong")
    with pytest.raises(PeerBroke, match=r"expected \[0, 0\], got \[None\]"):
        peer.run(LOAD)
    assert not is_alive(peer.pid)


def test_a_peer_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(PeerBroke, match=r"No module named bench\.nothing"):
        start(tmp_path, "right", "bench.nothing")


def test_a_peer_that_does_not_stop_is_killed_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_process, "STOP_TIMEOUT_S", 0.2)
    peer = start(tmp_path, "stubborn")
    worker = peer.workers["own"]
    assert is_alive(worker)
    with pytest.raises(PeerBroke, match="ended with code -9"):
        peer.__exit__(None)
    assert not is_alive(peer.pid)
    wait_until(lambda: not is_alive(worker))


def test_nothing_of_the_users_settings_reaches_a_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPLINE_MAX_CONCURRENCY", "1")
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://elsewhere")
    environment = peer_environment(tmp_path, "unix:///here")
    assert environment["STEPLINE_REDIS_URL"] == "unix:///here"
    assert not {"STEPLINE_MAX_CONCURRENCY", "CELERY_BROKER_URL"} & set(environment)
