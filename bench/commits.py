"""Other commits of the project: what git knows of them, and their files in a scratch folder."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.code_tree import CannotCompare

GIT_TIMEOUT_S: Final = 120.0

NO_HOOKS: Final = ("-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false")

SHORT_CHARS: Final = 10
"""Of a commit's name, where it is shown."""


@dataclass(frozen=True, slots=True)
class Repository:
    """The git repository that the working tree belongs to; nothing here writes to it.

    Args:
        root: The top folder of the working tree.
    """

    root: Path

    def resolve(self, name: str) -> str:
        """Return the full name of a commit.

        Args:
            name: As git takes it: a tag, a branch, ``HEAD~3``, the beginning of a commit's name.

        Raises:
            CannotCompare: There is none of that name, or the working tree is no git repository.
        """
        self._check_root()
        found = _git(self.root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if found.returncode != 0:
            is_shallow = _git(self.root, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"
            more = " (this clone is shallow: `git fetch --unshallow` brings older ones)" if is_shallow else ""
            raise CannotCompare(f"there is no commit {name!r} in {self.root}{more}; see `git log --oneline`")
        return found.stdout.strip()

    def head(self) -> str:
        """Return the commit that the working tree is based on."""
        return _git(self.root, "rev-parse", "HEAD").stdout.strip()

    def is_changed(self) -> bool:
        """Whether the working tree holds changes that are in no commit, new files among them."""
        return bool(_git(self.root, "status", "--porcelain").stdout.strip())

    def check_out(self, commit: str, folder: Path) -> None:
        """Write the files of a commit to a new folder, a clone that borrows this repository's objects.

        Raises:
            CannotCompare: git could not.
        """
        done = _git(self.root, "clone", "--quiet", "--shared", "--no-checkout", "--", str(self.root), str(folder))
        if done.returncode == 0:
            done = _git(folder, *NO_HOOKS, "checkout", "--quiet", "--detach", commit)
        if done.returncode != 0:
            raise CannotCompare(f"git could not check out {short(commit)}: {done.stderr.strip()}")

    def _check_root(self) -> None:
        top = _git(self.root, "rev-parse", "--show-toplevel")
        if top.returncode != 0 or Path(top.stdout.strip()) != self.root:
            raise CannotCompare(
                f"{self.root} is not the top of a git repository, so there is no other commit to compare with; "
                f"run the benchmark in a clone of the project {top.stderr.strip()}".strip()
            )


def short(commit: str) -> str:
    """Return the beginning of a commit's name, enough to tell it from others."""
    return commit[:SHORT_CHARS]


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # In a hook these would name another repository than that of the folder.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise CannotCompare("there is no `git` on PATH; install it to compare commits") from None
