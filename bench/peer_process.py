"""The benchmark's side of a peer: a process of its own, spoken to in lines of JSON."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from bench.processes import ProcessGone, family
from bench.workloads import PATIENCE_S, Load
from config.errors import SteplineError
from producer.launcher import leash
from producer.launcher.sessions import send
from producer.launcher.worker_process import PACKAGE_ROOT, REDIS_VARIABLE

ANSWER_TIMEOUT_S: Final = 120.0 + PATIENCE_S
"""For an answer: beyond what a peer waits for its steps itself, so that it can say what is wrong."""

STOP_TIMEOUT_S: Final = 15.0
"""For a peer to stop its workers; then all that is left is killed."""

STEP_MODULE: Final = "bench.stepline_steps"

LOG_TAIL_CHARS: Final = 3000
"""How much of the end of a peer's log an error quotes."""


class PeerBroke(SteplineError):
    """A peer ended or did not answer; what it measured so far is worth nothing."""


class PeerProcess:
    """A peer that has started its workers.

    Args:
        module: What to run, as ``python -m`` has it.
        environment: All of its variables.
        folder: Its working folder; its log is kept there.
        python: The interpreter that runs it.

    Raises:
        PeerBroke: It did not start.
    """

    def __init__(
        self, module: str, *, environment: Mapping[str, str], folder: Path, python: str = sys.executable
    ) -> None:
        self._module = module
        self._log = folder / "peer.log"
        # Were we killed while it waits for Celery, whose Redis ends with us, it would wait for long.
        leashed = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid())]
        with self._log.open("wb") as log:
            # In a session of its own, Ctrl-C on the terminal is ours alone: we stop the peer.
            self._process = subprocess.Popen(
                [*leashed, python, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict(environment),
                cwd=folder,
                text=True,
                start_new_session=True,
            )
        try:
            hello = self._read()
        except BaseException:
            self.stop(at_once=True)
            raise
        self.workers: dict[str, int] = hello["workers"]
        self.versions: dict[str, str] = hello["versions"]

    @property
    def pid(self) -> int:
        """Pid of the peer itself: the one that submits and gathers."""
        return self._process.pid

    def run(self, load: Load) -> dict[str, Any]:
        """Let the peer run a load and return its answer, see `bench.peer.serve`.

        Raises:
            PeerBroke: A result was wrong, or there was no answer.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(load.encode()) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.stop()
            raise self._broke("ended") from None
        return self._read()

    def stop(self, *, at_once: bool = False) -> None:
        """End the peer and its workers; harmless when called again.

        Args:
            at_once: Whether it shall not finish what it is running.
        """
        assert self._process.stdin is not None
        started = self._started()
        with suppress(BrokenPipeError):
            self._process.stdin.close()  # which tells it to stop
        if at_once and self._process.poll() is None:
            send(self.pid, signal.SIGTERM)
        try:
            self._await_end(started)
        except KeyboardInterrupt:
            self._await_end(started)
            raise

    def __enter__(self) -> Self:
        """Return itself, to be stopped at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop it; one that cannot stop cleanly has broken too."""
        self.stop(at_once=kind is not None)
        if kind is None and self._process.returncode != 0:
            raise self._broke(f"ended with code {self._process.returncode}")

    def _await_end(self, started: list[int]) -> None:
        assert self._process.stdout is not None
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            for pid in (self.pid, *started):
                send(pid, signal.SIGKILL)
            self._process.wait()
        self._process.stdout.close()

    def _started(self) -> list[int]:
        try:
            return family(self.pid)[1:]
        except ProcessGone:
            return []

    def _read(self) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None
        if not select.select([stdout], [], [], ANSWER_TIMEOUT_S)[0]:
            raise self._broke(f"gave no answer for {ANSWER_TIMEOUT_S:g} s")
        line = stdout.readline()
        if not line:
            self.stop()  # its traceback is written last
            raise self._broke("ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _broke(self, how: str) -> PeerBroke:
        tail = self._log.read_text(errors="replace")[-LOG_TAIL_CHARS:].strip()
        return PeerBroke(f"{self._module} {how}; its log ends:\n{tail}")


def peer_environment(folder: Path, redis_url: str, *, root: Path = PACKAGE_ROOT) -> dict[str, str]:
    """Return an environment in which nothing of the user's settings changes what is measured.

    Args:
        folder: Where the peer keeps its files.
        redis_url: Its Redis.
        root: The folder of the packages that it runs.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STEPLINE_", "CELERY_"))}
    ours = {
        "PYTHONPATH": str(root),
        REDIS_VARIABLE: redis_url,
        "STEPLINE_DATA_DIR": str(folder / "site"),
        "STEPLINE_STEP_MODULES": STEP_MODULE,
    }
    return {**kept, **ours}
