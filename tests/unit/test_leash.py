"""The program between parent and child: it dies with its parent, and is gone without one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from producer.launcher import leash

PARENT = """
import os, subprocess, sys
leash = [sys.executable, "-I", "-S", {leash!r}, str(os.getpid())]
child = subprocess.Popen([*leash, sys.executable, "-c", {child!r}])
print(child.pid, flush=True)
sys.stdin.read()
"""
CHILD = "import os, signal; os.write(1, b'ready'); signal.pause()"


def test_the_child_becomes_the_program_with_no_signal_blocked() -> None:
    program = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        done = subprocess.run(_leashed(os.getpid(), program), capture_output=True, text=True, check=True)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    assert done.stdout.strip() == "set()"


def test_a_child_whose_parent_is_gone_does_not_begin() -> None:
    not_the_parent = os.getppid()
    done = subprocess.run(_leashed(not_the_parent, "print('began')"), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (leash.ORPHANED, "")


def test_the_child_ends_when_its_parent_is_killed() -> None:
    source = PARENT.format(leash=leash.__file__, child=CHILD)
    with subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline()) != parent.pid
        assert parent.stdout.read(5) == b"ready"
        parent.kill()
        # The child holds the pipe's other end too, so the pipe ends when the child does.
        rest, _ = parent.communicate(timeout=10)
    assert rest == b""


def test_main_ties_itself_first_and_then_becomes_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    def tie(pid: int) -> bool:
        calls.append(pid)
        return True

    monkeypatch.setattr(leash, "tie_to_parent", tie)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(os, "execv", lambda path, arguments: calls.append((path, arguments)))
    leash.main(["12", "/bin/true", "-x"])
    assert calls == [12, ("/bin/true", ["/bin/true", "-x"])]


def _leashed(parent_pid: int, program: str) -> list[str]:
    return [
        sys.executable,
        "-I",
        "-S",
        str(Path(leash.__file__)),
        str(parent_pid),
        sys.executable,
        "-c",
        program,
    ]
