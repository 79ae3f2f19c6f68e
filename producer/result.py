"""What a caller gets back: every step's outcome, in input order."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from config.choices import Mode
from producer.run_meta import RunMeta
from steps.classifier import Classification, Decision
from steps.outcome import Outcome

FAILURES: Final = ("failed", "timed_out", "lost")
"""Outcomes of steps that went wrong themselves; the skipped and the cancelled ones did not."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A settled run.

    ``result["GitGetStatusStep"]`` is the outcome of that id.

    Args:
        run_id: The run.
        mode: How it ran: ``sequential``, ``parallel`` or ``hybrid``.
        total_ms: From its submission to its last outcome, in milliseconds.
        outcomes: One a step, in input order.
        classification: Which steps were critical, and why.
        fallback: Why it ran in another way than planned; None if it did not.
        rolled_back: Whether Redis came back with older data while it ran: what a step did may have been done twice.
    """

    run_id: str
    mode: Mode
    total_ms: float
    outcomes: tuple[Outcome, ...]
    classification: Classification
    fallback: str | None = None
    rolled_back: bool = False

    @property
    def ok(self) -> bool:
        """Whether every step succeeded."""
        return all(outcome.ok for outcome in self.outcomes)

    @property
    def succeeded(self) -> list[Outcome]:
        """The outcomes of the steps that succeeded."""
        return [outcome for outcome in self.outcomes if outcome.ok]

    @property
    def failed(self) -> list[Outcome]:
        """The outcomes of the steps that went wrong: ``failed``, ``timed_out`` or ``lost``."""
        return [outcome for outcome in self.outcomes if outcome.status in FAILURES]

    @cached_property
    def _by_id(self) -> dict[str, Outcome]:
        return {outcome.id: outcome for outcome in self.outcomes}

    def __getitem__(self, step_id: str) -> Outcome:
        return self._by_id[step_id]

    def all(self, name: str) -> list[Outcome]:
        """Return the outcomes of all steps of that name, in input order."""
        return [outcome for outcome in self.outcomes if outcome.name == name]

    def as_dict(self) -> dict[str, Any]:
        """Return the result as ``stepline run --json`` prints it; ``rolled_back`` is in it only where it is true."""
        told = {
            "run_id": self.run_id,
            "ok": self.ok,
            "mode": self.mode,
            "total_ms": self.total_ms,
            "outcomes": [outcome.as_dict() for outcome in self.outcomes],
        }
        return {**told, "rolled_back": True} if self.rolled_back else told


def classification_of(meta: RunMeta) -> Classification:
    """Return the classification of a run that was planned elsewhere."""
    return Classification(tuple(Decision(step.name, step.critical, step.reason, step.rule) for step in meta.steps))


def result_of(
    meta: RunMeta,
    *,
    run_id: str,
    outcomes: Sequence[Outcome],
    total_ms: float,
    fallback: str | None = None,
    rolled_back: bool = False,
) -> Result:
    """Return the result of a run from what the ledger keeps of it.

    Args:
        meta: Of the run.
        run_id: Its id.
        outcomes: All of them, in input order (`RunMeta.outcomes`).
        total_ms: From its submission to its last outcome, in milliseconds.
        fallback: Why it ran in another way than planned.
        rolled_back: Whether Redis came back with older data while it ran.
    """
    return Result(
        run_id=run_id,
        mode=meta.mode,
        total_ms=total_ms,
        outcomes=tuple(outcomes),
        classification=classification_of(meta),
        fallback=fallback,
        rolled_back=rolled_back,
    )
