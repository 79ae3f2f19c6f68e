"""The outcomes of a run one by one, as they settle."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Final

from producer.run_meta import RunMeta
from steps.ledger import Ledger
from steps.ledger.ledger import SLICE
from steps.outcome import Outcome, Settlement

FOLLOW_EVERY_S: Final = 1.0
"""How long to wait for an event before looking without one."""

FOLLOW_PAUSE_S: Final = 0.01
"""Between two looks: many outcomes at a time cost one look."""


class Outcomes(Iterator[Outcome]):
    """Yields each outcome once, in the order seen, until there are all of them; to be iterated once.

    It reads outcomes; the run's events only wake it, so a trimmed or missed event loses nothing.

    Args:
        run_id: The run.
        meta: Its plan as waiters see it.
        ledger: Where it is.
        epoch: The site's when the run was known to be there.
    """

    def __init__(self, run_id: str, meta: RunMeta, ledger: Ledger, *, epoch: int) -> None:
        self._run_id = run_id
        self._meta = meta
        self._ledger = ledger
        self._epoch = epoch
        self._seen: set[int] = set()
        self._last_event = "0"
        self._blocking = self._follow()

    def __next__(self) -> Outcome:
        """Return the next outcome; blocks until there is one."""
        return next(self._blocking)

    async def __aiter__(self) -> AsyncIterator[Outcome]:
        """Await between outcomes; the loop is not blocked."""
        while self._is_open():
            for outcome in await asyncio.to_thread(self._look):
                yield outcome
            if self._is_open():
                await asyncio.to_thread(self._wait)

    def _follow(self) -> Iterator[Outcome]:
        while self._is_open():
            yield from self._look()
            if self._is_open():
                self._wait()

    def _is_open(self) -> bool:
        return len(self._seen) < len(self._meta.steps)

    def _look(self) -> list[Outcome]:
        """Return what has settled since the last look."""
        found = []
        for first in range(0, len(self._meta.steps), SLICE):
            texts = self._ledger.read_accepted(self._run_id, self._epoch, first=first).outcomes
            for index, text in enumerate(texts, first):
                if text is not None and index not in self._seen:
                    self._seen.add(index)
                    found.append(self._meta.at(index).outcome(Settlement.decode(text)))
        return found

    def _wait(self) -> None:
        self._last_event = self._ledger.wait_for_event(self._run_id, self._last_event, timeout_s=FOLLOW_EVERY_S)
        time.sleep(FOLLOW_PAUSE_S)
