"""Waking the keeper, from threads and from forked children."""

import threading

from tests.support.forks import forked
from workers.nudge import Nudge

WAIT_S = 20.0


def test_waiting_ends_when_nobody_nudges() -> None:
    assert not Nudge().wait(0.01)


def test_a_nudge_is_remembered_once() -> None:
    nudge = Nudge()
    nudge.set()
    nudge.set()
    assert nudge.wait(WAIT_S)
    assert not nudge.wait(0)


def test_a_thread_wakes_the_keeper() -> None:
    nudge = Nudge()
    thread = threading.Thread(target=nudge.set)
    thread.start()
    assert nudge.wait(WAIT_S)
    thread.join()


def test_a_forked_child_wakes_the_keeper() -> None:
    nudge = Nudge()
    with forked(nudge.set):
        assert nudge.wait(WAIT_S)
