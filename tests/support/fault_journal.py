"""What steps note of themselves while processes are killed: a file beside Redis, a line in one write.

A line says what happened to which attempt: it ``began``, it still runs (``pulse``), its effect was ``refused``, it
``ended``, or it ``dies`` now by its own hand. Times are monotonic, which all processes of a machine share.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

JOURNAL = "journal"


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One line.

    Args:
        what: ``began``, ``pulse``, ``refused``, ``ended`` or ``dies``.
        run: The run's id.
        step: The step's id.
        attempt: Which start it is, from 1.
        fence: Of the claim.
        pid: The process.
        start_s: When the attempt began.
        end_s: When the line was written.
    """

    what: str
    run: str
    step: str
    attempt: int
    fence: int
    pid: int
    start_s: float
    end_s: float

    def __str__(self) -> str:
        where = f"process {self.pid}, attempt {self.attempt}, fence {self.fence}"
        return f"[{self.what} {self.start_s:.3f}-{self.end_s:.3f} {where}]"


class AttemptJournal:
    """One attempt's pen.

    Args:
        folder: Of the journal.
        run: The run's id.
        step: The step's id.
        attempt: Which start it is.
        fence: Of the claim.
    """

    def __init__(self, folder: str | Path, *, run: str, step: str, attempt: int, fence: int) -> None:
        self._path = Path(folder) / JOURNAL
        self._who = (run, step, attempt, fence)
        self.start_s = time.monotonic()

    def write(self, what: str) -> None:
        """Append a line, whole or not at all as long as the machine stands."""
        line = JournalLine(what, *self._who, os.getpid(), self.start_s, time.monotonic())
        append(self._path, asdict(line))


def append(path: Path, record: dict[str, Any]) -> None:
    """Append one JSON line in a single write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, json.dumps(record).encode() + b"\n")
    finally:
        os.close(descriptor)


def read_journal(folder: str | Path) -> tuple[JournalLine, ...]:
    """Return the lines in the order in which they were written; a last one that is torn is left out."""
    path = Path(folder) / JOURNAL
    text = path.read_bytes() if path.exists() else b""
    whole = text[: text.rfind(b"\n") + 1]
    return tuple(JournalLine(**json.loads(line)) for line in whole.splitlines())
