"""What is known after a fault test: what callers were told, what the ledger says, what steps noted, who was killed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tests.support.fault_journal import JournalLine
from tests.support.fault_target import Effect

Attempt = tuple[str, str, int]
"""Run, step and fence."""


@dataclass(frozen=True, slots=True)
class CallSent:
    """One step of a submitted run; ``lane`` is empty where it is not critical."""

    id: str
    lane: str = ""


@dataclass(frozen=True, slots=True)
class OutcomeSeen:
    """An outcome, as the ledger or a caller has it; ``fence`` is what the step returned as its own."""

    id: str
    status: str
    attempts: int
    fence: int | None = None


@dataclass(frozen=True, slots=True)
class SettleSeen:
    """An event that says a step has settled."""

    id: str
    status: str
    fence: int


@dataclass(frozen=True, slots=True)
class RunSeen:
    """One run.

    Args:
        id: Its id.
        accepted: When it was, or when it began if it waited for others; by any clock that orders the runs.
        calls: What was submitted, in input order.
        ledger: The outcomes that the ledger has, in input order; None: it has no such run.
        settles: The events of its settled steps.
        gathered: What each gather returned.
        errors: What each failed gather raised.
        cancelled: Steps that were cancelled before they had begun: step id to the monotonic time when that returned.
        left_line: Whether it stepped out of its lanes, and so lost its place.
        places: When it took the place in line from which each step began, of those whose run was paused before; by the
            clock of ``accepted``.
    """

    id: str
    accepted: float
    calls: tuple[CallSent, ...]
    ledger: tuple[OutcomeSeen, ...] | None
    settles: tuple[SettleSeen, ...] = ()
    gathered: tuple[tuple[OutcomeSeen, ...], ...] = ()
    errors: tuple[str, ...] = ()
    cancelled: tuple[tuple[str, float], ...] = ()
    left_line: bool = False
    places: Mapping[str, float] = field(default_factory=dict)

    def place_of(self, step: str) -> float:
        """Return when the run took the place in line from which a step began."""
        return self.places.get(step, self.accepted)


@dataclass(frozen=True, slots=True)
class Death:
    """A process that was killed, or stood still for longer than a lease.

    Args:
        pids: It and its children.
        at_s: When.
        within_s: How soon what it ran must run again.
    """

    pids: frozenset[int]
    at_s: float
    within_s: float


@dataclass(frozen=True)
class Evidence:
    """All of it.

    Args:
        runs: Every run that a caller was told is accepted.
        lines: The journal.
        effects: What the target has accepted.
        deaths: Who was killed.
        frozen: Processes that stood still or were cut off past their lease: their code may have overlapped.
        most_attempts: How often any step may have been started.
    """

    runs: tuple[RunSeen, ...]
    lines: tuple[JournalLine, ...] = ()
    effects: tuple[Effect, ...] = ()
    deaths: tuple[Death, ...] = ()
    frozen: frozenset[int] = frozenset()
    most_attempts: int = 4

    @cached_property
    def attempts(self) -> dict[Attempt, list[JournalLine]]:
        """The lines of each attempt, in the order in which they were written."""
        found: dict[Attempt, list[JournalLine]] = {}
        for line in self.lines:
            found.setdefault((line.run, line.step, line.fence), []).append(line)
        return found

    @cached_property
    def beginnings(self) -> dict[tuple[str, str], list[JournalLine]]:
        """The ``began`` lines of each step of each run."""
        found: dict[tuple[str, str], list[JournalLine]] = {}
        for line in self.lines:
            if line.what == "began":
                found.setdefault((line.run, line.step), []).append(line)
        return found

    def began(self, run: str, step: str) -> list[JournalLine]:
        """Return the ``began`` lines of a step."""
        return self.beginnings.get((run, step), [])


def shown(lines: Iterable[JournalLine]) -> str:
    """Return lines as a sentence quotes them."""
    return " ".join(map(str, lines))
