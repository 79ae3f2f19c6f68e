"""How a site starts one worker process: its command line, environment and log."""

import site
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from producer.launcher.child import Command

REDIS_VARIABLE: Final = "STEPLINE_REDIS_URL"
"""Tells a worker where the ledger is."""

PACKAGE_ROOT: Final = Path(__file__).resolve().parents[2]
"""Folder that holds our packages: site-packages, or a checkout."""


def worker_arguments(queue: str) -> list[str]:
    """Return a worker's command line; ``-P`` keeps its working folder off the front of the import path."""
    return [sys.executable, "-P", "-m", "workers", "--queue", queue]


def worker_environment(base: Mapping[str, str], redis_url: str) -> dict[str, str]:
    """Return ``base`` with the ledger's URL, made so that a worker runs the same code as this process.

    A checkout need not be installed, so its folder is put on PYTHONPATH.
    """
    environment = {**base, REDIS_VARIABLE: redis_url}
    if not _is_installed():
        others = [base["PYTHONPATH"]] if base.get("PYTHONPATH") else []
        environment["PYTHONPATH"] = ":".join([str(PACKAGE_ROOT), *others])
    return environment


def worker_command(
    queue: str, name: str, *, environment: Mapping[str, str], cwd: Path, log_dir: Path | None
) -> Command:
    """Return what starts a worker; its log is ``<log_dir>/<name>.log``, begun anew, or our standard error."""
    log = None
    if log_dir is not None:
        log_dir.mkdir(parents=True, exist_ok=True)
        log = log_dir / f"{name}.log"
        log.unlink(missing_ok=True)
    return Command(arguments=worker_arguments(queue), environment=environment, cwd=cwd, log=log)


def _is_installed() -> bool:
    folders = [*site.getsitepackages(), site.getusersitepackages()]
    return PACKAGE_ROOT in {Path(folder).resolve() for folder in folders}
