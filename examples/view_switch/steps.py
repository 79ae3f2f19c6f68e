"""The six steps of the view switch: four read (chat history, git, project files), two write to the chat."""

import asyncio
import os
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from examples.view_switch import data
from steps import StepContext, step

GIT_TIMEOUT_S: Final = 10.0
"""For one git command."""

SHOWN_MESSAGES: Final = 50
"""How many of the newest messages a view shows."""

SHOWN_FILES: Final = 5_000
"""How many files of a project are looked at."""

_GIT: Final = ("git", "--no-optional-locks")  # Reading must not take the lock of the index.


@dataclass(frozen=True)
class Message:
    """One message of a chat."""

    id: int
    author: str
    body: str


@dataclass(frozen=True)
class History:
    """What the view shows of a session's chats."""

    total: int
    characters: int
    newest: list[Message]


@dataclass(frozen=True)
class Project:
    """What the view shows of a project's files."""

    name: str
    files: int
    bytes: int
    kinds: dict[str, int]


@step(timeout=5)
def GetChatHistoryStep(session_id: str, database: str) -> History:
    """Read all messages of the session; return the newest and what the view says about the rest."""
    with data.connected(database) as chats:
        rows = list(data.read_history(chats, session_id))
    newest = [Message(id=row["id"], author=row["author"], body=row["body"]) for row in rows[-SHOWN_MESSAGES:]]
    return History(total=len(rows), characters=sum(len(row["body"]) for row in rows), newest=newest)


@step(timeout=GIT_TIMEOUT_S)
async def GitGetStatusStep(checkout: str) -> list[str]:
    """Return the changed files, as ``git status --porcelain`` lists them."""
    git = await asyncio.create_subprocess_exec(
        *_GIT,
        "-C",
        checkout,
        "status",
        "--porcelain",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await git.communicate()
    finally:
        if git.returncode is None:  # Cancelled: the step ran out of time.
            git.kill()
            await git.wait()
    if git.returncode:
        raise RuntimeError(err.decode(errors="replace").strip())
    return out.decode(errors="replace").splitlines()


@step(timeout=GIT_TIMEOUT_S)
def GitGetCurrentBranchStep(checkout: str) -> str:
    """Return the branch that is checked out (``HEAD`` when it is none)."""
    command = [*_GIT, "-C", checkout, "symbolic-ref", "--quiet", "--short", "HEAD"]
    git = subprocess.run(command, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False)
    if git.returncode == 1:
        return "HEAD"
    if git.returncode:
        raise RuntimeError(git.stderr.strip())
    return git.stdout.strip()


@step(timeout=5)
def GetProjectInfoStep(checkout: str) -> Project:
    """Count the project's files by kind, leaving out hidden folders."""
    kinds: Counter[str] = Counter()
    size = 0
    for path in _files(Path(checkout)):
        kinds[path.suffix or path.name] += 1
        size += path.lstat().st_size
    return Project(name=Path(checkout).name, files=kinds.total(), bytes=size, kinds=dict(kinds.most_common(8)))


@step(timeout=5, lane="session:{session_id}", idempotent=True)
def CreateChatStep(ctx: StepContext, session_id: str, database: str, title: str = "A new chat") -> int:
    """Create a chat in the session and return its id; a second attempt finds the chat of the first."""
    with data.connected(database) as chats, data.fenced(chats, session_id, ctx.fence):
        return data.insert_chat(chats, session_id, title, ctx.effect_key)


@step(timeout=5, lane="session:{session_id}", idempotent=True)
def IDESendMessageStep(ctx: StepContext, session_id: str, database: str, message: str = "Hello from the IDE") -> int:
    """Write a message into the newest chat of the session and return its id; a second attempt writes none."""
    with data.connected(database) as chats, data.fenced(chats, session_id, ctx.fence):
        return data.insert_message(chats, session_id, message, ctx.effect_key)


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent) / name for name in names]
        if len(found) >= SHOWN_FILES:
            break
    return found[:SHOWN_FILES]
