"""Asking after processes and ending them."""

import os
import signal
from pathlib import Path

from tests.support.forks import code_of, forked
from tests.support.processes import state_of, wait_until
from workers import processes
from workers.processes import end_session, has_ended, hold_session_still, kill, let_session_go, live_processes


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


def test_what_a_session_starts_while_it_is_stopped_is_stopped_too(tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def lead() -> None:
        os.setsid()
        if os.fork() == 0:
            os.setpgid(0, 0)
            begun.touch()
            _start_others()
        signal.pause()

    with forked(lead) as child:
        wait_until(begun.exists)
        wait_until(lambda: hold_session_still(child, 0.05))
        session = [process for process in live_processes() if process.session == child]
        assert len(session) >= 2
        assert {process.state for process in session} == {"T"}
        let_session_go(child)
        wait_until(lambda: state_of(child) == "S")
        end_session(child)


def _start_others() -> None:
    while True:
        if (other := os.fork()) == 0:
            signal.pause()
        kill(other)
        os.waitpid(other, 0)


def test_a_fork_obeys_the_signals_that_its_worker_took_for_itself() -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: None)

    def wait_deaf() -> None:
        processes._obey_signals()
        signal.pause()

    try:
        with forked(wait_deaf) as child:
            wait_until(lambda: kill(child, signal.SIGTERM) and has_ended(child))
            assert code_of(child) == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)
