"""How a site starts Flower, its dashboard: the command line, the environment, and what is refused before."""

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from config.errors import SettingsError
from config.setting_checks import is_loopback
from config.settings import Settings
from producer.launcher.child import Command
from producer.launcher.worker_process import worker_environment

PROGRAM: Final = "producer.launcher.flower_program"

PORT_TAKEN_EXIT: Final = 73
"""Exit code of a Flower whose port is taken; it is not started again, as the other one will keep it."""

FOREIGN_VARIABLES: Final = ("CELERY_", "FLOWER_")
"""What Celery and Flower would read from the environment by themselves; a host program's must not be ours."""

LOG_NAME: Final = "flower.log"


def refuse_exposed(settings: Settings) -> None:
    """Refuse a Flower that others could reach without a password: it shows every step, and can stop workers.

    Raises:
        SettingsError: It would be one.
    """
    if settings.flower_basic_auth is None and not is_loopback(settings.flower_address):
        raise SettingsError(
            f"Flower on {settings.flower_address} needs a password, as others reach it there: set "
            "STEPLINE_FLOWER_BASIC_AUTH to NAME:PASSWORD, or STEPLINE_FLOWER_ADDRESS to 127.0.0.1"
        )


def flower_url(settings: Settings) -> str:
    """Return where a browser finds it, without the password."""
    host = settings.flower_address
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{settings.flower_port}"


def is_port_taken(settings: Settings) -> bool:
    """Return whether something listens already where Flower is to listen; an address that is not ours counts too."""
    try:
        found = socket.getaddrinfo(settings.flower_address, settings.flower_port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, place in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(place)
    except OSError:
        return True
    return False


def taken_text(settings: Settings) -> str:
    """Return the sentence for a port that is taken."""
    place = f"port {settings.flower_port} of {settings.flower_address}"
    return f"{place} cannot be listened on, something else has it: set STEPLINE_FLOWER_PORT to a free one"


def flower_arguments() -> list[str]:
    """Return Flower's command line; the password is not in it."""
    return [sys.executable, "-P", "-m", PROGRAM]


def flower_environment(base: Mapping[str, str], redis_url: str) -> dict[str, str]:
    """Return a worker's environment without what Celery and Flower would obey."""
    environment = worker_environment(base, redis_url)
    return {name: value for name, value in environment.items() if not name.startswith(FOREIGN_VARIABLES)}


def flower_command(*, environment: Mapping[str, str], cwd: Path, log_dir: Path | None) -> Command:
    """Return what starts Flower; its log is ``<log_dir>/flower.log``, begun anew, or our standard error."""
    log = None
    if log_dir is not None:
        log_dir.mkdir(parents=True, exist_ok=True)
        log = log_dir / LOG_NAME
        log.unlink(missing_ok=True)
    return Command(arguments=flower_arguments(), environment=environment, cwd=cwd, log=log)


def become_flower(settings: Settings, redis_url: str) -> None:
    """Replace this process by Flower.

    Raises:
        SettingsError: Others could reach it without a password.
    """
    refuse_exposed(settings)
    arguments = flower_arguments()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(arguments[0], arguments, flower_environment(os.environ, redis_url))
