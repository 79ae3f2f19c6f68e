"""Completion notices: how one reads, and those that came before anybody asked for their run."""

import json
import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

logger = logging.getLogger(__name__)

EARLY_KEPT: Final = 1_000
"""Notices kept for runs that nobody has asked for yet."""

EARLY_KNOWN: Final = 20_000
"""Runs beyond them of which it is only kept that they have settled."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A run has settled, after ``total_ms``; ``outcomes`` are its settlements in ledger order where they came along.

    ``rolled_back``: Redis came back with older data while it was open; told where outcomes came along.
    """

    run_id: str
    total_ms: float = 0.0
    outcomes: tuple[dict[str, Any], ...] | None = None
    rolled_back: bool = False


class EarlyNotices:
    """Notices that nobody waits for yet: the newest ones whole, of older ones the run; not for many threads at once."""

    def __init__(self) -> None:
        self._whole: OrderedDict[str, Notice] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._whole or run_id in self._known

    def keep(self, notice: Notice) -> None:
        """Keep a notice, and the oldest one no more."""
        self._whole[notice.run_id] = notice
        if len(self._whole) > EARLY_KEPT:
            oldest, _ = self._whole.popitem(last=False)
            self._known[oldest] = None
        if len(self._known) > EARLY_KNOWN:
            self._known.popitem(last=False)

    def take(self, run_id: str) -> Notice | None:
        """Return the notice of a run, once; None where none came or it is forgotten."""
        if run_id in self._known:
            del self._known[run_id]
            return Notice(run_id)
        return self._whole.pop(run_id, None)


def notice_of(text: bytes) -> Notice | None:
    """Read a notice; None where it is none, which must not end the waiting for the others."""
    try:
        record = json.loads(text)
        outcomes = record.get("outcomes")
        return Notice(
            run_id=record["run"],
            total_ms=record.get("total_us", 0) / 1000,
            outcomes=None if outcomes is None else tuple(outcomes),
            rolled_back=bool(record.get("older")),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        logger.warning("a notice that cannot be understood is dropped: %r", error)
        return None
