"""Asks after and ends processes by pidfd, so that a reused pid is never hit."""

import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

STANDS_STILL_SEEN_EVERY_S: Final = 0.001

SWEEPS: Final = 5
SWEEP_WITHIN_S: Final = 0.05
"""How often, and for how long each time, what a process has left behind is looked for: it may start more meanwhile."""

OURS: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that Celery takes for itself in a worker."""


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
    until = time.monotonic() + within_s
    return all(has_ended(pid, max(0.0, until - time.monotonic())) for pid in pids)


def end_session(leader: int) -> None:
    """Kill what a process that led a session, and is no more to run, has started and left in it."""
    for _ in range(SWEEPS):
        found = [pid for pid in _members(leader) if pid != leader]
        if not found:
            return
        for pid in found:
            kill(pid)
        wait_for_end(found, SWEEP_WITHIN_S)


def _members(session: int) -> Iterator[int]:
    """Find the live processes of a session."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                state, _, _, found = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:4]
                if int(found) == session and state not in "ZX":
                    yield int(entry.name)


def hold_still(pid: int, within_s: float) -> bool:
    """Send a child of this process SIGSTOP; returns whether it stands still within so long."""
    until = time.monotonic() + within_s
    kill(pid, signal.SIGSTOP)
    with suppress(ChildProcessError):  # it has ended and been waited for
        while True:
            state = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if state is not None or time.monotonic() > until:
                return state is not None and state.si_code == os.CLD_STOPPED
            time.sleep(STANDS_STILL_SEEN_EVERY_S)
    return False


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send the process a signal, by default the one that ends it at once; one that is gone is fine."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)
