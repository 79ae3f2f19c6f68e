"""The services of the Compose file as processes of this machine, with the environment that the file gives them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from producer.launcher.redis_server import find_server
from tests.support.compose_files import filled_in, load_compose, seconds
from tests.support.processes import clean_environment, untraced

REDIS_PORT = "6379"
FLOWER_PORT = "5555"

HEALTHY_S = 40.0
"""Within this time a service is healthy, on a machine that has other things to do."""

CHECK_PAUSE_S = 0.25
"""Between two health checks: each is a program of its own, and would keep the services from what it waits for."""


class ComposeSite:
    """The services of the file, each startable any number of times.

    What only containers have is replaced: the name ``redis`` and the ports by loopback and free ports, the address
    that Flower listens on by loopback, the volume by a folder.

    Args:
        folder: For the data of Redis, the working folder of the others, and their logs.
        variables: What the file takes from outside.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self._services: dict[str, Any] = filled_in(load_compose()["services"], variables)
        self._processes: dict[str, list[subprocess.Popen[bytes]]] = {name: [] for name in self._services}
        self._data, self._logs, self.app = folder / "data", folder / "logs", folder / "app"
        for made in (self._data, self._logs, self.app):
            made.mkdir()
        self._ports = {REDIS_PORT: _free_port(), FLOWER_PORT: _free_port()}

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start one process of a service."""
        with (self._logs / f"{name}.log").open("ab") as log:
            started = subprocess.Popen(
                self._program(name),
                env=self.environment(name),
                cwd=self._data if name == "redis" else self.app,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes[name].append(started)
        return started

    def environment(self, name: str) -> dict[str, str]:
        """Return the variables that the processes of a service see."""
        given = {key: self._local(value) for key, value in self._services[name].get("environment", {}).items()}
        return untraced(clean_environment(**given, HOME=str(self.app)))

    def check_health(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run the health check of a service once, for no longer than the file allows."""
        test = self._services[name]["healthcheck"]
        kind, *words = map(self._local, test["test"])
        if kind == "CMD-SHELL":
            ask = f"{_redis_cli()} -p {self._ports[REDIS_PORT]}"
            words = ["sh", "-c", words[0].replace("redis-cli", ask)]
        return subprocess.run(
            _ours(words), env=self.environment(name), cwd=self.app, capture_output=True, text=True, check=False,
            timeout=seconds(test["timeout"]),
        )  # fmt: skip

    def wait_until_healthy(self, name: str) -> None:
        """Wait until the health check passes; the log tells why it does not."""
        give_up_at = time.monotonic() + HEALTHY_S
        while (checked := self.check_health(name)).returncode:
            ended = [process.returncode for process in self._processes[name] if process.poll() is not None]
            assert not ended, f"{name} ended with {ended}:\n{self.log(name)}"
            assert time.monotonic() < give_up_at, f"{name} is not healthy: {checked.stderr}\n{self.log(name)}"
            time.sleep(CHECK_PAUSE_S)

    def wait_until_unhealthy(self, name: str) -> str:
        """Wait until the health check fails; return what it says."""
        give_up_at = time.monotonic() + HEALTHY_S
        while not (checked := self.check_health(name)).returncode:
            assert time.monotonic() < give_up_at, f"{name} is still healthy\n{self.log(name)}"
            time.sleep(CHECK_PAUSE_S)
        return checked.stderr

    def stop(self, name: str) -> tuple[list[int], float]:
        """Stop a service as Compose does, with no longer than its grace; return exit codes and seconds taken.

        Raises:
            TimeoutExpired: Compose would have killed it.
        """
        began = time.monotonic()
        grace_s = seconds(self._services[name]["stop_grace_period"])
        stopping, self._processes[name] = self._processes[name], []
        try:
            for process in stopping:
                process.send_signal(signal.SIGTERM)
            codes = [process.wait(max(0.1, began + grace_s - time.monotonic())) for process in stopping]
        finally:
            _end(stopping)
        return codes, time.monotonic() - began

    def end(self) -> None:
        """Kill whatever still runs."""
        for processes in self._processes.values():
            _end(processes)

    def log(self, name: str) -> str:
        """Return what the processes of a service wrote."""
        return (self._logs / f"{name}.log").read_text(errors="replace")

    def _program(self, name: str) -> list[str]:
        words: list[str] = self._services[name]["command"]
        if name != "redis":
            return _ours(words)
        here = ["--port", str(self._ports[REDIS_PORT]), "--bind", "127.0.0.1", "--dir", str(self._data)]
        return [str(find_server().path), *words[1:], *here]

    def _local(self, text: str) -> str:
        if text == FLOWER_PORT:
            return str(self._ports[FLOWER_PORT])
        text = text.replace(f"@redis:{REDIS_PORT}", f"@127.0.0.1:{self._ports[REDIS_PORT]}")
        return text.replace(f":{FLOWER_PORT}/", f":{self._ports[FLOWER_PORT]}/").replace("0.0.0.0", "127.0.0.1")


def _ours(words: list[str]) -> list[str]:
    """Return a command with the programs of this environment in place of those of the image."""
    programs = {"stepline": [sys.executable, "-m", "producer.cli"], "python": [sys.executable]}
    return [*programs.get(words[0], words[:1]), *words[1:]]


def _redis_cli() -> str:
    """Return the client beside the server that runs: both packages that have one have the other."""
    beside = find_server().path.with_name("redis-cli")
    return str(beside) if beside.exists() else str(shutil.which("redis-cli"))


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
