"""A child process kept running, and ended whole."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from producer.launcher.child import NOT_STARTED, Child, Command, Restart
from producer.launcher.sessions import is_alive
from tests.support.processes import WAIT_S, clean_environment, family_of, wait_until

AT_ONCE = Restart(0.0, 1.0)

SLEEPER = "import signal; print('up', flush=True); signal.pause()"
FAMILY = """
import os, signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
print("up", flush=True)
signal.pause()
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"


def test_a_child_runs_in_a_session_of_its_own_and_ends_when_asked(tmp_path: Path) -> None:
    with _running(tmp_path, SLEEPER) as child:
        pid = _pid_of(child)
        assert os.getsid(pid) == pid
        child.ask_to_stop()
        assert child.join(WAIT_S)
        assert child.exits == (-signal.SIGTERM,)
        assert not is_alive(pid)


def test_a_child_that_dies_is_started_again_and_its_family_is_ended(tmp_path: Path) -> None:
    ended = threading.Event()
    with _running(tmp_path, FAMILY, restart=AT_ONCE, on_exit=lambda *_: ended.set()) as child:
        first = _pid_of(child)
        family = family_of(first)
        assert len(family) == 3
        os.kill(first, signal.SIGKILL)
        assert ended.wait(WAIT_S)
        wait_until(lambda: child.pid not in (None, first))
        assert not [pid for pid in family if is_alive(pid)]
        assert child.exits == (-signal.SIGKILL,)


def test_stopping_ends_what_moved_to_another_session(tmp_path: Path) -> None:
    with _running(tmp_path, FAMILY, restart=AT_ONCE) as child:
        family = family_of(_pid_of(child))
        child.ask_to_stop()
        assert child.join(WAIT_S)
        assert not [pid for pid in family if is_alive(pid)]
        assert child.survivors == ()


def test_a_child_that_is_deaf_to_term_is_killed(tmp_path: Path) -> None:
    with _running(tmp_path, DEAF) as child:
        child.ask_to_stop()
        assert not child.join(0.2)
        child.kill()
        assert child.exits == (-signal.SIGKILL,)


def test_a_child_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    with _running(tmp_path, SLEEPER, start_on_thread=True) as child:
        assert is_alive(_pid_of(child))


def test_a_program_that_is_not_there_is_tried_again_and_noted(tmp_path: Path) -> None:
    tried = threading.Semaphore(0)
    missing = Command(arguments=["/nonexistent"], environment={}, cwd=tmp_path / "nowhere")
    child = Child("missing", missing, restart=Restart(0.0, 0.0), on_exit=lambda *_: tried.release())
    child.start()
    try:
        assert tried.acquire(timeout=WAIT_S)
        assert tried.acquire(timeout=WAIT_S)
        assert set(child.exits) == {NOT_STARTED}
    finally:
        child.kill()


def test_the_delay_between_starts_doubles_up_to_its_cap(tmp_path: Path) -> None:
    ends: list[float] = []
    enough = threading.Event()

    def note(*_: object) -> None:
        ends.append(time.monotonic())
        if len(ends) == 4:
            enough.set()

    with _running(tmp_path, "", restart=Restart(0.2, 0.4), on_exit=note, wait=False):
        assert enough.wait(WAIT_S)
    waits = [after - before for before, after in pairwise(ends)]
    assert all(wait > least for wait, least in zip(waits, (0.2, 0.4, 0.4), strict=True))


def test_the_log_holds_what_the_child_wrote(tmp_path: Path) -> None:
    with _running(tmp_path, SLEEPER) as child:
        assert child.log_tail() == "up"


def test_a_child_without_a_log_writes_to_our_standard_error(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, sys\nfrom pathlib import Path\nfrom producer.launcher.child import Child, Command\n"
        'source = \'print("out", flush=True); import sys; sys.stderr.write("err")\'\n'
        "program = [sys.executable, '-c', source]\n"
        "child = Child('c', Command(arguments=program, environment={}, cwd=Path('.')), restart=None)\n"
        "child.start()\nassert child.join(10)\nassert child.log_tail() == ''\n"
    )
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        check=True,
        env=clean_environment(),
    )
    assert (done.stdout, done.stderr) == ("", "out\nerr")


def test_a_fork_of_the_owner_does_not_end_the_child(tmp_path: Path) -> None:
    with _running(tmp_path, SLEEPER) as child:
        child._owner_pid = -1  # What os.getpid() is in a fork: not the owner's.
        child.ask_to_stop()
        assert is_alive(_pid_of(child))
        child._owner_pid = os.getpid()


@contextmanager
def _running(
    folder: Path,
    program: str,
    *,
    restart: Restart | None = None,
    on_exit: Callable[[Child, int], None] | None = None,
    wait: bool = True,
    start_on_thread: bool = False,
) -> Iterator[Child]:
    log = folder / "child.log"
    command = Command(arguments=[sys.executable, "-c", program], environment=dict(os.environ), cwd=folder, log=log)
    child = Child("child", command, restart=restart, on_exit=on_exit)
    if start_on_thread:
        starter = threading.Thread(target=child.start)
        starter.start()
        starter.join()
    else:
        child.start()
    try:
        if wait:
            wait_until(lambda: child.log_tail() == "up")
        yield child
    finally:
        child.kill()


def _pid_of(child: Child) -> int:
    assert child.pid is not None
    return child.pid
