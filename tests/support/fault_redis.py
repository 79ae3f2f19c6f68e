"""A Redis server of a test's own, that can be killed, frozen, wiped and started again on the same port."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis

from producer.launcher import leash
from producer.launcher.redis_server import MULTI_PART_FOLDER, find_server
from tests.support.processes import wait_until

SERVER_WAIT_S = 10.0


class FaultRedis:
    """A server on a loopback port, appending to its files as ``fsync`` says.

    Args:
        folder: For its files.
        fsync: ``always`` or ``everysec``.
    """

    def __init__(self, folder: Path, *, fsync: str = "always") -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis.from_url(self.url, decode_responses=True)
        self._fsync = fsync
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *options: str) -> "FaultRedis":
        """Start the server and wait until it answers."""
        self.start_loading(*options)
        self.wait_until_ready()
        return self

    def start_loading(self, *options: str) -> None:
        """Start the server and return before it has read its files."""
        wanted: dict[str, Any] = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "save": '""',
            "appendonly": "yes",
            "appendfsync": self._fsync,
            "maxmemory-policy": "noeviction",
            "enable-debug-command": "yes",
        }
        config = self.folder / "redis.conf"
        config.write_text("".join(f"{name} {value}\n" for name, value in wanted.items()))
        with (self.folder / "redis.log").open("ab") as log:
            server = [str(find_server().path), str(config), *options]
            command = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *server]  # ends with this process
            self._process = subprocess.Popen(command, stdout=log, stderr=log, process_group=0)

    def wait_until_ready(self) -> None:
        wait_until(self._answers, SERVER_WAIT_S)

    def _answers(self) -> bool:
        with suppress(redis.RedisError):
            return bool(self.client.ping())
        return False

    def kill(self, signum: signal.Signals = signal.SIGKILL) -> None:
        """End the server by a signal and wait until it is gone."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signum)
                os.kill(process.pid, signal.SIGCONT)
            process.wait(SERVER_WAIT_S)
        self.client.connection_pool.disconnect()

    def restart(self, signum: signal.Signals = signal.SIGKILL) -> None:
        self.kill(signum)
        self.start()

    def freeze(self, *, thaw: bool = False) -> None:
        os.kill(self.pid, signal.SIGCONT if thaw else signal.SIGSTOP)

    def wipe(self) -> None:
        """Remove the files of a server that does not run."""
        shutil.rmtree(self.folder / MULTI_PART_FOLDER, ignore_errors=True)

    def written(self) -> int:
        """Return how long the append-only file is."""
        return self._append_only_file().stat().st_size

    def cut_tail(self, to: float, *, since: int) -> None:
        """Take from the append-only file of a server that does not run the end of what was written ``since`` then.

        Args:
            to: The part of it that is kept.
            since: How long the file was then. It begins with the functions, which are most of it.
        """
        path = self._append_only_file()
        os.truncate(path, since + int((path.stat().st_size - since) * to))

    def _append_only_file(self) -> Path:
        (path,) = (self.folder / MULTI_PART_FOLDER).glob("*.incr.aof")
        return path

    def stop(self) -> None:
        self.kill()
        self.client.close()


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
