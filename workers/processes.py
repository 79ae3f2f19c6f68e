"""Asks after and ends processes by pidfd, so that a reused pid is never hit."""

import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STANDS_STILL_SEEN_EVERY_S: Final = 0.001

RUNNABLE: Final = "RS"
"""States of a process that a stop has not reached yet. One that waits for its disk, or for what it has just forked to
begin, is in another: it stops before it does anything more."""

SWEEPS: Final = 5
SWEEP_WITHIN_S: Final = 0.05
"""How often, and for how long each time, what a process has left behind is looked for: it may start more meanwhile."""

OURS: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that Celery takes for itself in a worker."""


@dataclass(frozen=True, slots=True)
class LiveProcess:
    """What the system says of a process: a letter for its state, its parent, and the leader of its session."""

    pid: int
    state: str
    parent: int
    session: int


def live_processes() -> Iterator[LiveProcess]:
    """Find all processes, but not those that are dead and not yet waited for."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                text = (entry / "stat").read_text(errors="replace")
                state, parent, _, session = text.rpartition(")")[2].split()[:4]  # a name may hold blanks and brackets
                if state not in "ZX":
                    yield LiveProcess(int(entry.name), state, int(parent), int(session))


def obey_signals_in_forks() -> None:
    """Have what steps fork from a threads worker obey signals again, else a pool of theirs waits for ever to end."""
    os.register_at_fork(after_in_child=_obey_signals)


def _obey_signals() -> None:
    for number in OURS:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)


def has_ended(pid: int, within_s: float = 0.0) -> bool:
    """Return whether the process is gone, or dead and not yet waited for, now or within so long."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], within_s)[0])
    finally:
        os.close(descriptor)


def wait_for_end(pids: Iterable[int], within_s: float) -> bool:
    """Wait until all of these have ended, for so long at most; returns whether they have."""
    until_s = time.monotonic() + within_s
    return all(has_ended(pid, max(0.0, until_s - time.monotonic())) for pid in pids)


def end_session(leader: int) -> None:
    """Kill what a process that led a session, and is no more to run, has started and left in it."""
    for _ in range(SWEEPS):
        found = [process.pid for process in _followers(leader)]
        if not found:
            return
        for pid in found:
            kill(pid)
        wait_for_end(found, SWEEP_WITHIN_S)


def hold_session_still(leader: int, within_s: float) -> bool:
    """Have a child of this process that leads a session stand still, then all that it has started and left in it.

    Returns:
        Whether they do within so long each: what is new when all has been stopped is looked for again.
    """
    if not hold_still(leader, within_s):
        return False
    told: set[int] = set()
    for _ in range(SWEEPS):
        fresh = {process.pid for process in _followers(leader)} - told
        if not fresh:
            return True
        told |= fresh
        if not _stand_still({pid for pid in fresh if kill(pid, signal.SIGSTOP)}, leader, within_s):
            return False
    return False


def let_session_go(leader: int) -> None:
    """Have go on what stands still."""
    for process in _followers(leader):
        kill(process.pid, signal.SIGCONT)
    kill(leader, signal.SIGCONT)


def _followers(leader: int) -> list[LiveProcess]:
    return [process for process in live_processes() if process.session == leader != process.pid]


def _stand_still(pids: set[int], leader: int, within_s: float) -> bool:
    """Wait until none of these moves; one that has ended does not."""
    until_s = time.monotonic() + within_s
    while any(process.pid in pids and process.state in RUNNABLE for process in _followers(leader)):
        if time.monotonic() > until_s:
            return False
        time.sleep(STANDS_STILL_SEEN_EVERY_S)
    return True


def hold_still(pid: int, within_s: float) -> bool:
    """Send a child of this process SIGSTOP; returns whether it stands still within so long."""
    until_s = time.monotonic() + within_s
    kill(pid, signal.SIGSTOP)
    with suppress(ChildProcessError):  # it has ended and been waited for
        while True:
            state = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if state is not None or time.monotonic() > until_s:
                return state is not None and state.si_code == os.CLD_STOPPED
            time.sleep(STANDS_STILL_SEEN_EVERY_S)
    return False


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    """Send the process a signal, by default the one that ends it at once.

    Returns:
        Whether it got it: one that is gone is fine, and so is another user's, which a step may start.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        signal.pidfd_send_signal(descriptor, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(descriptor)
    return True
