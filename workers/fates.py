"""What a worker tells the ledger of an attempt that does not settle its step."""

from typing import Final

from steps.ledger.records import StepFate

MICROSECONDS: Final = 1_000_000


def tried_again(index: int, fence: int, *, after_s: float) -> StepFate:
    """The step has failed and is tried again."""
    return StepFate(index, fence, "R", _microseconds(after_s))


def parked(index: int, fence: int, *, for_s: float) -> StepFate:
    """This worker does not know the step; others may."""
    return StepFate(index, fence, "P", _microseconds(for_s))


def given_back(index: int, fence: int) -> StepFate:
    """The attempt ended for a reason that is not the step's."""
    return StepFate(index, fence, "B")


def _microseconds(seconds: float) -> str:
    return str(round(seconds * MICROSECONDS))
