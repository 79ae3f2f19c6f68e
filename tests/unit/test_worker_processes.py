"""Asking after processes and ending them."""

import os
import signal

from tests.support.forks import code_of, forked
from tests.support.processes import wait_until
from workers import processes
from workers.processes import has_ended, kill


def test_a_running_process_has_not_ended_until_it_is_killed() -> None:
    with forked(signal.pause) as child:
        assert not has_ended(child)
        kill(child)
        wait_until(lambda: has_ended(child))
        assert code_of(child) == -signal.SIGKILL


def test_a_dead_process_that_was_not_waited_for_has_ended() -> None:
    with forked(lambda: None) as child:
        wait_until(lambda: has_ended(child))
        kill(child)
        os.waitpid(child, 0)
        assert has_ended(child)


def test_a_process_that_is_gone_has_ended_and_is_fine_to_kill() -> None:
    with forked(lambda: None) as child:
        os.waitpid(child, 0)
        assert has_ended(child)
        kill(child)


def test_any_signal_can_be_sent() -> None:
    with forked(signal.pause) as child:
        kill(
            child, signal.SIGUSR1
        )  # not SIGTERM, for which a measured child has a handler that may come before the pause
        assert code_of(child) == -signal.SIGUSR1


def test_a_fork_obeys_the_signals_that_its_worker_took_for_itself() -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: None)

    def wait_deaf() -> None:
        processes._obey_signals()
        signal.pause()

    try:
        with forked(wait_deaf) as child:
            wait_until(lambda: kill(child, signal.SIGTERM) or has_ended(child))
            assert code_of(child) == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)
