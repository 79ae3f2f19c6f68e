"""Which processes a child has started, and how all of them are ended: by session, and by a mark.

A session catches what a worker forked; the mark (an inherited environment variable) also catches what moved
to a session of its own, except programs that write their title over their environment, as Redis does. Both
are read from ``/proc``; where there is none, only the process group is ended.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

MARK_VARIABLE: Final = "_STEPLINE_SITE"
"""Environment variable that every process of a site inherits; its value is the site's own random id."""

SWEEP_TIMEOUT_S: Final = 2.0
"""How long killed processes may take to vanish before they count as survivors."""

SWEEP_PAUSE_S: Final = 0.01
"""Between two looks at killed processes: /proc cannot be waited for."""

_PROC: Final = Path("/proc")


def members(*, session: int | None = None, mark: str | None = None) -> list[int]:
    """Return the live processes of a session or with a mark, ascending, without zombies and this process."""
    wanted = None if mark is None else f"{MARK_VARIABLE}={mark}".encode()
    found = [pid for pid in _pids() if pid != os.getpid() and _belongs(pid, session, wanted)]
    return sorted(found)


def end_all(find: Callable[[], Iterable[int]]) -> list[int]:
    """Kill what ``find`` finds until it finds nothing; return what would not die within `SWEEP_TIMEOUT_S`.

    It looks again after every kill: a process may have forked between the look and the kill.
    """
    give_up_at = time.monotonic() + SWEEP_TIMEOUT_S
    while survivors := list(find()):
        if time.monotonic() > give_up_at:
            return survivors
        for pid in survivors:
            send(pid, signal.SIGKILL)
        time.sleep(SWEEP_PAUSE_S)
    return []


def end_session(session: int, mark: str | None = None) -> list[int]:
    """Kill every process of a session and every process with the mark; return those that would not die."""
    with suppress(ProcessLookupError, PermissionError):  # Nobody of the group is left, or only zombies are.
        os.killpg(session, signal.SIGKILL)
    return end_all(lambda: members(session=session, mark=mark))


def send(pid: int, signum: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signum)


def is_alive(pid: int) -> bool:
    """Tell whether a process with this pid exists (a zombie does not count where /proc tells)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    stat = _stat(pid)
    return stat is None or stat[0] != "Z"


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir(_PROC) if name.isdecimal()]
    except FileNotFoundError:
        return []


def _belongs(pid: int, session: int | None, wanted: bytes | None) -> bool:
    stat = _stat(pid)
    if stat is None or stat[0] in "ZX":
        return False
    return stat[3] == str(session) or (wanted is not None and wanted in _environment(pid))


def _stat(pid: int) -> list[str] | None:
    """Return state, parent, group, session, ... of a process, or None when it is gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # The name before it may hold blanks and brackets.


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []  # Gone, or another user's.
