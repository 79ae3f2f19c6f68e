"""Git repositories for the tests of the comparing benchmark: the packages of this tree, committed in a folder."""

import shutil
import subprocess
from pathlib import Path

from tests.support.processes import ROOT

COPIED = ("bench", "config", "steps", "producer", "workers")


def copy_project(folder: Path) -> Path:
    """Copy the packages and the lock into a new folder, which is a git repository without a commit then."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.lock", folder)
    (folder / ".gitignore").write_text("__pycache__/\n")
    git(folder, "init", "--quiet")
    return folder


def commit_all(folder: Path) -> str:
    """Commit everything that is there; return the commit's name."""
    git(folder, "add", "--all")
    author = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.invalid")
    git(folder, *author, "commit", "--quiet", "--allow-empty", "--message", "A change")
    return git(folder, "rev-parse", "HEAD")


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder; return what it said."""
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
