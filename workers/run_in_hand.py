"""The run a worker is working on: what its steps may know of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from producer.run_meta import OUTCOMES_KEY, RunMeta
from steps.context import StepResults
from steps.ledger.ledger import SLICE
from steps.ledger.records import RunRecord
from steps.outcome import Outcome, Settlement


class RunInHand:
    """One run as seen from one parcel.

    Args:
        run_id: Its id.
        meta: What the ledger keeps of its plan, as JSON.
        read: Reads the run from a ledger index on; asked until Redis answers, as a claimed step must not be dropped.
    """

    def __init__(self, run_id: str, meta: bytes, *, read: Callable[[str, int], RunRecord]) -> None:
        self.run_id = run_id
        self.meta = RunMeta.decode(meta)
        self._read = read
        self._results = StepResults()
        self._seen: set[int] = set()
        self._first_missing = 0

    def is_body(self, index: int) -> bool:
        """Whether this ledger index is the completion body's."""
        return index == len(self.meta.steps)

    def context_for(self, index: int) -> Mapping[str, Any]:
        """Return the context of a step; the completion body's holds the outcomes too."""
        if not self.is_body(index):
            return self.meta.context
        outcomes = [outcome.as_dict() for outcome in self._outcomes()]
        return {OUTCOMES_KEY: outcomes, **self.meta.context}

    def results(self, settled_count: int) -> StepResults:
        """Return the values of the steps that have succeeded, as of now if more have settled than were known."""
        first, count = self._first_missing, len(self.meta.steps)
        if len(self._seen) < settled_count:
            self._results = self._results.copy()  # an attempt's results stay as they were
        # A lane of thousands must not read all that is known again for each of its steps.
        while len(self._seen) < settled_count and first < count:
            self._take_in(first, self._read(self.run_id, first).outcomes)
            first += SLICE
        while self._first_missing in self._seen:
            self._first_missing += 1
        return self._results

    def _take_in(self, first: int, texts: Sequence[bytes | None]) -> None:
        for index, text in enumerate(texts, start=first):
            if text is None or index in self._seen:
                continue
            self._seen.add(index)
            settlement = Settlement.decode(text)
            if settlement.status == "succeeded":
                self._results.add(self.meta.at(index).id, self.meta.sequence[index], settlement.value)

    def _outcomes(self) -> list[Outcome]:
        count = len(self.meta.steps)
        settlements: list[Settlement | None] = []
        for first in range(0, count, SLICE):
            texts = self._read(self.run_id, first).outcomes
            settlements += [None if text is None else Settlement.decode(text) for text in texts]
        return self.meta.outcomes(settlements)
