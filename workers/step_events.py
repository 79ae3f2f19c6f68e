"""Tells who listens, such as Flower, what becomes of each step, as if it were a Celery task of its own."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from producer.run_meta import RunMeta
from steps.ledger.ledger import SLICE
from steps.ledger.records import ClaimedStep, RunRecord, StepFate
from steps.outcome import OutcomeError, Settlement
from workers.event_fields import StepEvent, StepSeen
from workers.run_in_hand import RunInHand

ANNOUNCED: Final = SLICE
"""Steps that wait in a lane behind the first one and are shown as received; one read of the ledger finds their ends."""

MakeEvents = Callable[[], Iterable[StepEvent]]
ReadRun = Callable[[str, int, int], RunRecord]
"""Given a run id, reads so many outcomes of it from a ledger index on."""


class Outlet(Protocol):
    """Where events go; it never raises and never waits."""

    def put(self, make: MakeEvents) -> None:
        """Make and send events later, elsewhere, or never."""
        ...


class StepEvents:
    """Events of one process.

    Args:
        flag: One byte, 1 while somebody listens; shared with who switches it.
        outlet: Where they go.
        read: Reads a run, for what happened to steps elsewhere.

    Callers ask `is_on` first, so that it is all they pay for while nobody listens.
    """

    def __init__(self, *, flag: memoryview, outlet: Outlet, read: ReadRun) -> None:
        self._flag = flag
        self._outlet = outlet
        self._read = read

    @property
    def is_on(self) -> bool:
        """Whether somebody listens."""
        return self._flag[0] == 1

    def received(self, run: RunInHand, steps: Iterable[ClaimedStep]) -> None:
        """These steps were claimed."""
        at_s, attempts = time.time(), {step.index: step.attempt for step in steps}
        self._outlet.put(lambda: _each(run, attempts, "task-received", at_s))

    def received_behind(self, run: RunInHand, index: int) -> int:
        """A lane's parcel was received: the steps behind this one wait here. Returns the first that was not told."""
        at_s, behind = time.time(), _behind(run.meta, index)
        self._outlet.put(lambda: _each(run, dict.fromkeys(behind, 1), "task-received", at_s))
        return behind.stop

    def started(self, run: RunInHand, steps: Iterable[ClaimedStep]) -> None:
        """The code of these steps began to run."""
        at_s, attempts = time.time(), {step.index: step.attempt for step in steps}
        self._outlet.put(lambda: _each(run, attempts, "task-started", at_s))

    def ended(
        self,
        run: RunInHand,
        fates: Sequence[StepFate],
        accepted: Sequence[bool],
        errors: Mapping[int, OutcomeError],
    ) -> None:
        """The ledger has answered what became of these.

        Args:
            run: Whose steps they are.
            fates: What it was told.
            accepted: Which of them it took.
            errors: By ledger index, why a step is tried again.
        """
        at_s = time.time()
        taken = [(fate, errors.get(fate.index)) for fate, is_ours in zip(fates, accepted, strict=True) if is_ours]
        self._outlet.put(lambda: _ended(run, taken, at_s))
        for fate, is_ours in zip(fates, accepted, strict=True):
            if not is_ours:
                self.look(run.run_id, fate.index)

    def look(self, run_id: str, first: int, count: int = 1) -> None:
        """Tell what has settled, by other hands, of these steps."""
        self._outlet.put(lambda: self._settled(run_id, first, count))

    def look_behind(self, run: RunInHand, index: int) -> None:
        """Tell what has settled of the steps that were announced behind this one: skipped, or cancelled."""
        behind = _behind(run.meta, index)
        if behind:
            self.look(run.run_id, behind[0], len(behind))

    def _settled(self, run_id: str, first: int, count: int) -> Iterator[StepEvent]:
        meta, at_s = RunMeta.decode(self._read(run_id, 0, 0).meta), time.time()  # it comes with the first steps only
        for index, text in enumerate(self._read(run_id, first, count).outcomes, start=first):
            if text is not None:
                yield StepSeen(run_id, meta, index, at_s).settled(Settlement.decode(text))


class _Nowhere:
    def put(self, make: MakeEvents) -> None:
        """Tell nobody."""


def silent() -> StepEvents:
    """Return events that nobody listens to."""

    def read(run_id: str, first: int, count: int) -> RunRecord:
        raise NotImplementedError

    return StepEvents(flag=memoryview(bytearray(1)), outlet=_Nowhere(), read=read)


def _each(run: RunInHand, attempts: Mapping[int, int], kind: str, at_s: float) -> Iterator[StepEvent]:
    for index, attempt in attempts.items():
        yield StepSeen(run.run_id, run.meta, index, at_s).event(kind, retries=attempt - 1)


def _ended(run: RunInHand, fates: Iterable[tuple[StepFate, OutcomeError | None]], at_s: float) -> Iterator[StepEvent]:
    for fate, error in fates:
        event = StepSeen(run.run_id, run.meta, fate.index, at_s).ended(fate, error)
        if event is not None:
            yield event


def _behind(meta: RunMeta, index: int) -> range:
    """Return the ledger indexes of the steps next to this one that share its lane; critical steps come first there."""
    lane = meta.at(index).lane
    last = index
    if lane is not None and index < len(meta.steps):
        limit = min(len(meta.steps), index + 1 + ANNOUNCED)
        while last + 1 < limit and meta.at(last + 1).lane == lane:
            last += 1
    return range(index + 1, last + 1)
