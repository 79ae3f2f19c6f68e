"""Looking at processes from tests: which there are, and waiting for what cannot be subscribed to."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from producer.launcher.sessions import MARK_VARIABLE, is_alive, members

ROOT = Path(__file__).resolve().parents[2]

WAIT_S = 20.0
"""For what takes a second at most on a machine with nothing else to do."""


def wait_until(holds: Callable[[], object], timeout_s: float = WAIT_S) -> None:
    """Wait for something that tells nobody when it happens, such as an entry in /proc."""
    give_up_at = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < give_up_at, f"not within {timeout_s:g} s"
        time.sleep(0.01)


def family_of(pid: int) -> list[int]:
    """Return all live processes that carry the mark of a child process, itself among them.

    Not for a Redis server: it writes its title over its environment.
    """
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    mark = next(v.partition("=")[2] for v in variables if v.startswith(f"{MARK_VARIABLE}="))
    return members(mark=mark)


def children_of(pid: int) -> list[int]:
    """Return the processes that have this parent."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


def ancestors_of(pid: int) -> set[int]:
    """Return a process, its parent, and so on."""
    found = set()
    while pid > 1:
        found.add(pid)
        pid = int(_stat_of(pid)[1])
    return found


def state_of(pid: int) -> str:
    """Return the letter of a process's state: R runs, S sleeps, T stands still."""
    return _stat_of(pid)[0]


def _stat_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def command_of(pid: int) -> str:
    """Return a process's command line, empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def clean_environment(**variables: str) -> dict[str, str]:
    """Return our environment without settings of Stepline's, with these variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STEPLINE_")}
    return {**kept, "PYTHONPATH": str(ROOT), **variables}


def untraced(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which no coverage is measured.

    For what is timed, which must be what users run; and for many short programs, whose commands other tests run in
    process: measuring makes each start take half as much again.
    """
    return {name: value for name, value in environment.items() if not name.startswith("COVERAGE")}


@contextmanager
def python_program(
    arguments: Sequence[str], *, environment: Mapping[str, str], cwd: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program for the block; it is killed at the end if it is still there."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        env=dict(environment),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            yield program
        finally:
            program.kill()


def processes_naming(text: str) -> list[int]:
    """Return the live processes with this text in their environment or command line, but not this one."""
    wanted, found = text.encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid() and is_alive(int(entry.name)):
            try:
                said = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if wanted in said:
                found.append(int(entry.name))
    return sorted(found)
