"""The checkout that the git steps read: the one that was given, or a small one made for the purpose."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_FILES: Final = {
    "README.md": "# A small project\n\nMade by the view switch, because no git checkout was given.\n",
    "pyproject.toml": '[project]\nname = "small"\nversion = "0.1"\n',
    "small/__init__.py": '"""A small package."""\n',
    "small/greeting.py": 'def greet(name: str) -> str:\n    return f"Hello {name}"\n',
}
_CHANGED: Final = "small/greeting.py"  # Changed after the commit, so that there is a status to show.
_WITHOUT_USER_CONFIG: Final = (
    "-c",
    "user.name=demo",
    "-c",
    "user.email=demo@example.invalid",
    "-c",
    "commit.gpgsign=false",
)


def environment_without_git(environ: Mapping[str, str]) -> dict[str, str]:
    """Return it without variables such as GIT_DIR, which in a hook are set and point git elsewhere."""
    return {name: value for name, value in environ.items() if not name.startswith("GIT_")}


def usable_checkout(wanted: Path, scratch: Path) -> tuple[Path, str | None]:
    """Return a git checkout to read, and why it is not the wanted one (None when it is)."""
    git = _git(wanted, "rev-parse", "--is-inside-work-tree")
    if git.returncode == 0 and git.stdout.strip() == "true":
        return wanted.resolve(), None
    reason = (git.stderr.strip() or "it has no work tree").splitlines()[0]
    return _make(scratch / "small-project"), reason


def _make(folder: Path) -> Path:
    for name, text in _FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for arguments in (
        ("init", "--quiet", "--initial-branch=main", "--template="),
        ("add", "."),
        (*_WITHOUT_USER_CONFIG, "commit", "--quiet", "--no-verify", "--message", "A small project"),
    ):
        _git(folder, *arguments).check_returncode()
    (folder / _CHANGED).write_text(_FILES[_CHANGED].replace("Hello", "Welcome"))
    return folder


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = environment_without_git(os.environ)
    return subprocess.run(
        ["git", "-C", folder, *arguments], capture_output=True, text=True, check=False, env=environment
    )
