"""Brings another commit to where it can run: a scratch folder, and where its dependencies differ an environment."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.code_tree import CannotCompare, CodeTree
from bench.commits import Repository, short
from producer.launcher.worker_process import PACKAGE_ROOT

LOCK: Final = "requirements.lock"
"""Pins what the packages need; two commits with the same lock run in the same environment."""

PEER_FILE: Final = "bench/stepline_peer.py"

INSTALL_TIMEOUT_S: Final = 900.0

TAIL_LINES: Final = 5
"""How much of the end of what pip said an error quotes."""


def working_tree(root: Path = PACKAGE_ROOT) -> CodeTree:
    """Return the working tree, run by the Python that runs this."""
    repository = Repository(root)
    return CodeTree(root=root, commit=repository.head(), is_changed=repository.is_changed())


@contextmanager
def other_commit(name: str, root: Path = PACKAGE_ROOT) -> Iterator[CodeTree]:
    """Check out a commit for the block; in the end all of it is removed.

    Args:
        name: As git takes it.
        root: The working tree, which stays as it is.

    Raises:
        CannotCompare: There is no such commit, or it has no benchmark, or what it needs cannot be installed.
    """
    repository = Repository(root)
    commit = repository.resolve(name)
    with tempfile.TemporaryDirectory(prefix="stepline-bench-code-", ignore_cleanup_errors=True) as folder:
        code = Path(folder).resolve() / "code"
        repository.check_out(commit, code)
        if not (code / PEER_FILE).is_file():
            raise CannotCompare(
                f"{short(commit)} is too old to be compared: it has no {PEER_FILE}; name a later commit"
            )
        python = _python_for(code, root, Path(folder) / "venv", commit)
        yield CodeTree(root=code, python=python, commit=commit)


def _python_for(code: Path, root: Path, venv: Path, commit: str) -> Path:
    """Return an interpreter that has what the commit needs."""
    if (code / LOCK).read_bytes() == (root / LOCK).read_bytes():
        return Path(sys.executable)
    print(f"{short(commit)} needs other packages: installing its {LOCK} beside it", file=sys.stderr, flush=True)
    python = venv / "bin" / "python"
    _install(commit, [sys.executable, "-m", "venv", str(venv)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _install(commit, [*pip, "--require-hashes", "-r", str(code / LOCK)])
    return python


def _install(commit: str, command: Sequence[str]) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-TAIL_LINES:])
        raise CannotCompare(f"what {short(commit)} needs could not be installed: {' '.join(command)} said:\n{said}")
