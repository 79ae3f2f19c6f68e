"""The two views and how each is run: once sequentially, once as classified, on the same workers."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from examples.view_switch.ten_sleeps import SLEEPS_MS
from producer import Producer
from producer.result import Result

SESSION: Final = "42"

VIEW_SWITCH: Final = (
    "GetChatHistoryStep",
    "GitGetStatusStep",
    "GitGetCurrentBranchStep",
    "GetProjectInfoStep",
    "CreateChatStep",
    "IDESendMessageStep",
)

GATHER_TIMEOUT_S: Final = 60.0
"""For one run of a view; beyond, something is broken."""


@dataclass(frozen=True, slots=True)
class View:
    """What is run: a title, the names of its steps, and whether they only pretend to work."""

    title: str
    steps: tuple[str, ...]
    synthetic: bool


VIEWS: Final = (
    View("View switch", VIEW_SWITCH, synthetic=False),
    View("Ten-sleep view", tuple(SLEEPS_MS), synthetic=True),
)


@dataclass(frozen=True, slots=True)
class Timed:
    """A result, and when its run was submitted (milliseconds since 1970)."""

    result: Result
    submitted_ms: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One view run both ways."""

    view: View
    sequential: Timed
    classified: Timed

    @property
    def ok(self) -> bool:
        """Whether every step of both runs was ok."""
        return self.sequential.result.ok and self.classified.result.ok

    @property
    def ratio(self) -> float:
        """How many times faster the classified run was."""
        return self.sequential.result.total_ms / self.classified.result.total_ms

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        return {
            "view": self.view.title,
            "synthetic": self.view.synthetic,
            "ratio": self.ratio,
            "sequential": self.sequential.result.as_dict(),
            "classified": self.classified.result.as_dict(),
        }


def compare(producer: Producer, view: View, *, database: Path, checkout: Path) -> Comparison:
    """Run a view three times: a warm-up that is not kept, sequentially, and as classified."""
    context = {"session_id": SESSION, "database": str(database), "checkout": str(checkout)}
    _run(producer, view, context, None)
    sequential = _run(producer, view, context, "sequential")
    return Comparison(view, sequential, _run(producer, view, context, None))


def _run(producer: Producer, view: View, context: dict[str, str], mode: Literal["sequential"] | None) -> Timed:
    submitted_ms = time.time() * 1000
    run = producer.submit(list(view.steps), context=context, mode=mode)
    return Timed(run.gather(timeout=GATHER_TIMEOUT_S), submitted_ms)
