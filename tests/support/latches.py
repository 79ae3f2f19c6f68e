"""The test's end of a latch: see when steps began, read what they noted, let them go."""

import json
from pathlib import Path
from typing import Any

from tests.support.held_steps import OPEN_SUFFIX
from tests.support.processes import wait_until


class Journal:
    """What steps of several processes noted in one file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def lines(self, what: str | None = None) -> list[dict[str, Any]]:
        """Return the notes so far, or those of one kind, in the order they were written."""
        path = Path(self.path)
        text = path.read_text() if path.exists() else ""
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if what in (None, line["what"])]

    def wait_for(self, what: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for so many notes of a kind."""
        wait_until(lambda: len(self.lines(what)) >= count)
        return self.lines(what)

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Return when each label began and ended, which it must have done once."""
        began = {line["label"]: line["at_s"] for line in self.lines("began")}
        ended = {line["label"]: line["at_s"] for line in self.lines("ended")}
        assert len(self.lines()) == len(began) + len(ended), "something ran more than once"
        assert began.keys() == ended.keys()
        return {label: (began[label], ended[label]) for label in began}


class Latch(Journal):
    """Holds the steps that are given its ``path``."""

    def wait_until_begun(self, count: int = 1) -> list[dict[str, Any]]:
        return self.wait_for("began", count)

    def open(self) -> None:
        """Let all of them go, those to come too."""
        Path(self.path + OPEN_SUFFIX).touch()

    def call(self, name: str, **more: Any) -> dict[str, Any]:
        """Return a call of a step that this latch holds."""
        params = {"latch": self.path, **more.pop("params", {})}
        return {"name": name, "params": params, **more}
