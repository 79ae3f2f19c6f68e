"""The commands of the pages' shell blocks that need a hand: what never ends goes on in the background until the page
is over, what cannot run here is checked as far as it can be.

Called by the name of the command: ``python -m tests.support.page_commands stepline up``.
"""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from producer.launcher.sessions import is_alive

ROOT = Path(__file__).resolve().parents[2]
VENV = Path(sys.executable).parent

EXAMPLE_HOST = "redis.internal"
"""The pages' name for a Redis somewhere else; here it stands for the one of the site."""

BIN = "bin"
"""Folder of the commands, in that of the page's state."""

READY_S = 30.0
OWNER_SEEN_EVERY_S = 1.0
END_S = 20.0

ENDED_WELL = ("0", str(-signal.SIGTERM))
"""Exit codes of what was told to end; uvicorn ends by the signal itself."""

SIGNS = {"up": b"up (pid", "worker": b"is ready", "flower": b"is at http"}
"""What a command of ours that goes on writes when it is ready."""

AT_ONCE = {
    "stepline": f"""case " $1 $(env)" in
" up "*|" worker "*|" flower "*|*{EXAMPLE_HOST}*) ;;
*) exec '{VENV / "stepline"}' "$@" ;;
esac
"""
}
"""Shell for what needs no hand; else each of a page's many commands would start Python twice."""


class Refused(Exception):
    """A block asks for what is not there; the text says what."""


def stepline(arguments: list[str]) -> None:
    environment = _reachable(dict(os.environ))
    command = [str(VENV / "stepline"), *arguments]
    if not arguments or arguments[0] not in SIGNS or "--help" in arguments:
        os.execve(command[0], command, environment)
    if arguments[0] == "up" and (Path(environment["STEPLINE_DATA_DIR"]) / "site.json").exists():
        # The data folder has a site already: the one that the pages share, or one that the page has started.
        environment["STEPLINE_DATA_DIR"] = str(_state() / f"up-{os.getpid()}")
    log = _state() / f"{arguments[0]}-{os.getpid()}.log"
    _go_on(command, environment, log, is_ready=lambda: SIGNS[arguments[0]] in log.read_bytes())


def uvicorn(arguments: list[str]) -> None:
    """Serve on a port that is free, unless the page names one."""
    port = int(arguments[arguments.index("--port") + 1]) if "--port" in arguments else free_port()
    log = _state() / f"uvicorn-{os.getpid()}.log"
    environment = {**os.environ, "UVICORN_PORT": str(port)}
    _go_on([str(VENV / "uvicorn"), *arguments], environment, log, is_ready=lambda: _answers(port))


def make(arguments: list[str]) -> None:
    """Let make say what it would do: the targets must be there."""
    own = str(_state() / BIN)
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if folder != own]
    program = shutil.which("make", path=os.pathsep.join(folders))
    if program is None:
        raise Refused("there is no make on PATH")
    os.execv(program, [program, "-n", "-C", str(ROOT), *arguments])


def pip(arguments: list[str]) -> None:
    """Check that the files are there."""
    options = iter(arguments[1:])
    for one in options:
        path = ROOT / next(options) if one in ("-r", "-c", "-e") else ROOT / one.partition("[")[0]
        if not one.startswith("--") and not path.exists():
            raise Refused(f"pip is to install {path}, which is not there")


def docker(arguments: list[str]) -> None:
    """Check services and scales of ``docker compose`` against the file."""
    if arguments[:1] != ["compose"]:
        raise Refused(f"docker {shlex.join(arguments)}: only docker compose is checked")
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    words = [word for word in arguments[1:] if not word.startswith("-")]
    scaled = [word.partition("=")[0] for word in words if "=" in word]
    verb, *named = [word for word in words if "=" not in word]
    if verb not in ("up", "down", "logs", "ps", "build", "pull", "stop", "start", "restart", "exec", "run", "config"):
        raise Refused(f"docker compose has no {verb}")
    if verb in ("exec", "run"):
        named = named[:1]
    if unknown := set(scaled + named) - set(services):
        raise Refused(f"docker-compose.yml has no service {', '.join(sorted(unknown))}; it has {', '.join(services)}")


def systemctl(arguments: list[str]) -> None:
    """Check that the page shows the units before."""
    for word in arguments[1:]:
        if not word.startswith("-") and not Path(f"{word.removesuffix('.service')}.service").exists():
            raise Refused(f"the page shows no unit {word}.service before: systemctl {shlex.join(arguments)}")


COMMANDS: Mapping[str, Callable[[list[str]], None]] = {
    command.__name__: command for command in (stepline, uvicorn, make, pip, docker, systemctl)
}


def install(state: Path) -> Path:
    """Put the commands into a folder and return it, for PATH."""
    folder = state / BIN
    folder.mkdir()
    for name in COMMANDS:
        script = folder / name
        script.write_text(
            f'#!/bin/sh\n{AT_ONCE.get(name, "")}exec {sys.executable} -m tests.support.page_commands {name} "$@"\n'
        )
        script.chmod(0o755)
    return folder


def end_all(state: Path) -> list[str]:
    """End what goes on in the background; returns what did not end well."""
    notes = sorted(state.glob("*.pid"))
    for path in notes:
        with suppress(ProcessLookupError):
            os.kill(int(path.stem), signal.SIGTERM)
    troubles = []
    for path in notes:
        code = _code_in(path.with_suffix(".code"))
        if code not in ENDED_WELL:
            troubles.append(f"{path.read_text()} ended with {code}")
    return troubles


def keep(arguments: list[str]) -> None:
    """Be the parent of a command that goes on, to note how it ends: PIDS_FOLDER LOG COMMAND..."""
    state, log, *command = arguments
    with Path(log).open("wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
    note = Path(state) / f"{process.pid}.pid"
    note.write_text(shlex.join(command))
    code = _code_of(process)
    new = note.with_suffix(".new")
    new.write_text(str(code))
    new.replace(note.with_suffix(".code"))


def _code_of(process: "subprocess.Popen[bytes]") -> int:
    """Wait for its end; it is told to end, too, when the tests are gone."""
    while True:
        try:
            return process.wait(OWNER_SEEN_EVERY_S)
        except subprocess.TimeoutExpired:
            if not is_alive(int(os.environ["PAGE_OWNER"])):
                process.terminate()


def _go_on(command: Sequence[str], environment: Mapping[str, str], log: Path, *, is_ready: Callable[[], bool]) -> None:
    """Start a command in the background and return when it is ready."""
    parent = [sys.executable, "-m", "tests.support.page_commands", "keep", str(_state()), str(log), *command]
    keeper = subprocess.Popen(parent, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    give_up_at = time.monotonic() + READY_S
    while not (log.exists() and is_ready()):
        if keeper.poll() is not None or time.monotonic() > give_up_at:
            raise Refused(f"{shlex.join(command)} is not ready:\n{log.read_text() if log.exists() else ''}")
        time.sleep(0.02)


def _reachable(environment: dict[str, str]) -> dict[str, str]:
    """Let the pages' example Redis be the one of the site, once the settings have taken its URL."""
    named = {name: environment.get(name, "") for name in ("STEPLINE_REDIS_URL", "STEPLINE_BROKER_URL")}
    if any(named.values()):
        subprocess.run([sys.executable, "-c", "from config.settings import load_settings; load_settings()"], check=True)
    for name, url in named.items():
        if url and urlsplit(url).hostname == EXAMPLE_HOST:
            environment[name] = os.environ["PAGE_SITE_URL"]
        elif name == "STEPLINE_BROKER_URL":
            environment.pop(name, None)
    return environment


def _state() -> Path:
    return Path(os.environ["PAGE_STATE"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _code_in(path: Path) -> str | None:
    give_up_at = time.monotonic() + END_S
    while not path.exists():
        if time.monotonic() > give_up_at:
            return None
        time.sleep(0.02)
    return path.read_text()


if __name__ == "__main__":
    try:
        {**COMMANDS, "keep": keep}[sys.argv[1]](sys.argv[2:])
    except Refused as refused:
        sys.exit(str(refused))
