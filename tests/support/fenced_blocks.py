"""The fenced blocks of README, docs and the examples' pages: which there are, which run, which are files."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import ROOT

RUNNABLE = ("sh", "python")
"""Blocks of these languages are run."""

SHOWN = ("", "text", "console", "json", "yaml", "toml", "ini", "mermaid", "lua", "dockerfile")
"""Blocks of these are not: plain text, transcripts of a terminal, data, pictures."""

_FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,})[ ]*(?P<info>.*)$")
_FILE = re.compile(r"# (?P<path>[\w./-]+\.\w+)")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Args:
        page: Path of its page from the checkout.
        line: Of its first line in the page, from 1.
        info: What stands behind the opening fence.
        text: What is in it.
    """

    page: str
    line: int
    info: str
    text: str

    @property
    def language(self) -> str:
        return self.info.split()[0] if self.info else ""

    @property
    def runs(self) -> bool:
        return self.language in RUNNABLE

    @property
    def path(self) -> str | None:
        """The file that it shows: the path in the comment it begins with; a shell block is none."""
        found = _FILE.fullmatch(self.text.partition("\n")[0])
        return found["path"] if found and self.language != "sh" else None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Return the pages, README first, as paths from the checkout."""
    found = [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "examples").glob("*/README.md")),
    ]
    return [path.relative_to(ROOT).as_posix() for path in found]


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page, in its order."""
    return blocks_in(text_of(page), page=page)


def blocks_in(text: str, *, page: str) -> list[Block]:
    """Return the blocks of a text.

    Raises:
        ValueError: A block is not closed.
    """
    blocks = []
    lines = enumerate(text.splitlines(), start=1)
    for number, line in lines:
        if opened := _FENCE.match(line):
            inside: list[str] = []
            for _, one in lines:
                if one.strip() == opened["fence"]:
                    break
                inside.append(one)
            else:
                raise ValueError(f"{page}:{number}: this block is not closed")
            blocks.append(Block(page, number + 1, opened["info"].strip(), "".join(f"{one}\n" for one in inside)))
    return blocks


def project_files() -> dict[str, str]:
    """Return the modules that the pages show, by path; those under ``my_project`` are a project that all share.

    Raises:
        ValueError: Two pages show different contents of one module.
    """
    files: dict[str, str] = {}
    for page in pages():
        for block in blocks_of(page):
            if (
                block.path
                and block.path.startswith("my_project/")
                and files.setdefault(block.path, block.text) != block.text
            ):
                raise ValueError(f"{block} shows another {block.path} than a page before it")
    return files


def project_modules() -> list[str]:
    """Return the dotted names of the modules that define steps."""
    paths = [Path(path) for path, text in project_files().items() if path.endswith(".py") and "@step" in text]
    return [".".join(path.with_suffix("").parts) for path in paths]
