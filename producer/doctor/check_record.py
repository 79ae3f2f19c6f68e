"""What one check of a site found."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

Verdict: TypeAlias = Literal["ok", "warning", "problem"]

NAMES_SHOWN: Final = 5
"""How many names a finding lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Args:
        name: What was looked at.
        verdict: ``problem``: something will not work or not keep what is promised; ``warning``: look at it.
        found: What there is, in a sentence.
        advice: What to do about it; None where it is ok.
    """

    name: str
    verdict: Verdict
    found: str
    advice: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return asdict(self)


def ok(name: str, found: str) -> Check:
    """Return a check that found nothing wrong."""
    return Check(name=name, verdict="ok", found=found)


def warning(name: str, found: str, advice: str) -> Check:
    """Return a check that found what should be looked at."""
    return Check(name=name, verdict="warning", found=found, advice=advice)


def problem(name: str, found: str, advice: str) -> Check:
    """Return a check that found what will not work."""
    return Check(name=name, verdict="problem", found=found, advice=advice)


def listed(names: Sequence[str]) -> str:
    """Return names in their order, the first `NAMES_SHOWN` of them."""
    hidden = len(names) - NAMES_SHOWN
    shown = ", ".join(names[:NAMES_SHOWN])
    return f"{shown} and {hidden} more" if hidden > 0 else shown
