"""The embedded Redis: a private real server in the data folder, living no longer than its starter."""

import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.settings import Settings
from producer.launcher.child import Child, Command, Restart
from producer.launcher.redis_server import ServerConfig, ServerProgram, check_files, find_server
from producer.launcher.site_errors import EmbeddedRedisFailed
from producer.launcher.site_file import PRIVATE_FOLDER, Ownership, read_record

SOCKET_PATH_BYTES: Final = 100
"""Longest path of a unix socket (the kernel takes 107); beyond, the server listens on a loopback port."""

READY_TIMEOUT_S: Final = 30.0
"""How long a new server may take to answer; while it is loading its files, the time starts anew."""

READY_PAUSE_S: Final = 0.01
"""Between two PINGs to a starting server."""

PING_TIMEOUT_S: Final = 2.0
"""For a PING to a server on this machine."""

SHUTDOWN_TIMEOUT_S: Final = 1.5
"""For SHUTDOWN to write the files; then TERM follows."""

TERM_TIMEOUT_S: Final = 0.5
"""For TERM; then KILL follows."""

FOLDER_NAME: Final = "redis"
SOCKET_NAME: Final = "redis.sock"
CONFIG_NAME: Final = "redis.conf"
LOG_NAME: Final = "redis.log"


class EmbeddedRedis:
    """A private Redis server in ``data_dir``, appending every write to its files there.

    It is started again when it dies, ends with this process however that ends (on Linux), and is reachable by
    this user only.

    Args:
        data_dir: Folder of the site; made where it is missing.
        program: The server to start; found on this machine by default.
        restart: When to start it again after a death; None: never.
        on_exit: Called after each unexpected end, with the child and the exit code.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        program: ServerProgram | None = None,
        restart: Restart | None = None,
        on_exit: Callable[[Child, int], None] | None = None,
    ) -> None:
        self._data_dir = data_dir.absolute()
        self._folder = self._data_dir / FOLDER_NAME
        self._program = program
        self._restart = restart
        self._on_exit = on_exit
        self._lock = threading.Lock()
        self._owner_pid = os.getpid()
        self._ownership: Ownership | None = None
        self._child: Child | None = None
        self.url = ""

    @property
    def pid(self) -> int | None:
        """Pid of the running server, None when there is none."""
        return None if self._child is None else self._child.pid

    def start(self) -> Self:
        """Start the server and return when it answers.

        Raises:
            NoRedisServer: There is none on this machine.
            SiteBusy: Another live site owns the data folder.
            EmbeddedRedisFailed: It did not start.
        """
        program = self._program or find_server()
        self._ownership = Ownership.take(self._data_dir)
        try:
            self._folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
            self._folder.chmod(PRIVATE_FOLDER)
            check_files(program, self._folder)
            self._child = self._start_server(program, self._ownership.descriptor)
            self._await_ready(self._child)
            self._ownership.announce(self.url)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the server (SHUTDOWN, then TERM, then KILL), give the folder up; harmless when called again."""
        if os.getpid() != self._owner_pid:
            return  # A fork of the owner does not own the server.
        with self._lock:
            child, self._child = self._child, None
            ownership, self._ownership = self._ownership, None
        if ownership is not None:
            ownership.withdraw()
        if child is not None:
            _end(child, self.url)
        if ownership is not None:
            ownership.release()

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def _start_server(self, program: ServerProgram, lock_descriptor: int) -> Child:
        config = self._configure()
        path = self._folder / CONFIG_NAME
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(config.text())
        log = self._folder / LOG_NAME
        log.unlink(missing_ok=True)
        command = Command(
            arguments=[str(program.path), str(path)],
            environment=dict(os.environ),
            cwd=self._folder,
            log=log,
            held=[lock_descriptor],
        )
        child = Child("redis", command, restart=self._restart, on_exit=self._on_exit)
        child.start()
        return child

    def _configure(self) -> ServerConfig:
        """Choose where the server listens, and note its URL."""
        socket_path = self._folder / SOCKET_NAME
        if len(os.fsencode(socket_path)) <= SOCKET_PATH_BYTES:
            socket_path.unlink(missing_ok=True)
            self.url = f"unix://{quote(str(socket_path))}"
            return ServerConfig(folder=self._folder, socket=socket_path)
        port, password = _free_port(), secrets.token_hex(16)
        self.url = f"redis://:{password}@127.0.0.1:{port}/0"
        return ServerConfig(folder=self._folder, port=port, password=password)

    def _await_ready(self, child: Child) -> None:
        give_up_at = time.monotonic() + READY_TIMEOUT_S
        while not child.exits and time.monotonic() < give_up_at:
            match _answer(self.url):
                case "ready":
                    return
                case "loading":
                    give_up_at = time.monotonic() + READY_TIMEOUT_S
            time.sleep(READY_PAUSE_S)
        how = f"ended with code {child.exits[0]}" if child.exits else f"gave no answer for {READY_TIMEOUT_S:g} s"
        raise EmbeddedRedisFailed(f"The embedded Redis in {self._folder} {how}. Its log ends:\n{child.log_tail()}")


def find_site(settings: Settings) -> str | None:
    """Return the URL of the live site in the settings' data folder, or None; a stale record is none."""
    record = read_record(settings.data_dir.absolute())
    if record is None or _answer(record.url) == "none":
        return None
    return record.url


def _answer(url: str) -> str:
    """Return what a server says to PING: ``ready``, ``loading`` or ``none``."""
    try:
        with closing(_connect(url, PING_TIMEOUT_S)) as client:
            client.ping()
    except redis.BusyLoadingError:
        return "loading"
    except (redis.RedisError, OSError, ValueError):
        return "none"
    return "ready"


def _end(child: Child, url: str) -> None:
    child.start_no_more()
    # The append-only file is written all the same; where the server has no answer, TERM follows.
    with suppress(redis.RedisError, OSError), closing(_connect(url, SHUTDOWN_TIMEOUT_S)) as client:
        client.shutdown(nosave=True)
    if child.join(SHUTDOWN_TIMEOUT_S):
        return
    child.ask_to_stop(signal.SIGTERM)
    if not child.join(TERM_TIMEOUT_S):
        child.kill()


def _connect(url: str, timeout_s: float) -> redis.Redis:
    """Return a client that tries once: SHUTDOWN must not be sent again to the next server."""
    once = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=once)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
