"""How long a worker that was told to stop waits for what still runs."""

import os
import threading
import time

import pytest

from workers.patience import ABANDONED_AFTER_S, Patience

LONG_S = 30.0
SOON_S = 5.0


class Waiting:
    """A patience and when it ended."""

    def __init__(self, *, limit_s: float, unanswered_s: float = 0.0) -> None:
        self.ends = 0
        self.ended = threading.Event()
        self.patience = Patience(limit_s=limit_s, unanswered_s=lambda: unanswered_s, give_up=self._end)

    def _end(self) -> None:
        self.ends += 1
        self.ended.set()


@pytest.fixture
def _orphan(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([os.getppid()])
    monkeypatch.setattr(os, "getppid", lambda: next(parents, 1))


@pytest.mark.parametrize("limit_s", [0.2, 0.0, -1.0])
def test_it_ends_at_its_limit_and_once_however_often_it_is_begun(limit_s: float) -> None:
    waiting, began_s = Waiting(limit_s=limit_s), time.monotonic()
    for _ in range(3):
        waiting.patience.begin()
    assert waiting.ended.wait(SOON_S)
    assert time.monotonic() - began_s >= limit_s
    assert waiting.ends == 1


@pytest.mark.usefixtures("_orphan")
def test_without_launcher_and_without_redis_it_ends_at_once() -> None:
    waiting = Waiting(limit_s=LONG_S, unanswered_s=ABANDONED_AFTER_S + 0.1)
    waiting.patience.begin()
    assert waiting.ended.wait(SOON_S)


@pytest.mark.usefixtures("_orphan")
def test_without_launcher_it_waits_for_its_steps_while_redis_answers() -> None:
    waiting = Waiting(limit_s=0.5, unanswered_s=ABANDONED_AFTER_S / 2)
    waiting.patience.begin()
    assert not waiting.ended.wait(0.3)
    assert waiting.ended.wait(SOON_S)


def test_with_its_launcher_it_waits_for_redis_to_come_back() -> None:
    waiting = Waiting(limit_s=0.5, unanswered_s=ABANDONED_AFTER_S + 0.1)
    waiting.patience.begin()
    assert not waiting.ended.wait(0.3)
    assert waiting.ended.wait(SOON_S)


def test_who_is_told_to_wait_no_longer_ends_at_once() -> None:
    waiting = Waiting(limit_s=LONG_S)
    waiting.patience.begin()
    waiting.patience.lose()
    assert waiting.ended.wait(SOON_S)
    assert waiting.ends == 1


def test_it_may_be_told_within_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, start = Waiting(limit_s=LONG_S), threading.Thread.start

    def start_interrupted(thread: threading.Thread) -> None:
        waiting.patience.begin()
        waiting.patience.lose()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_interrupted)
    waiting.patience.begin()
    assert waiting.ended.wait(SOON_S)
    assert waiting.ends == 1
