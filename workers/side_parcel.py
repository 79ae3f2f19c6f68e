"""The pipeline of a parcel on a threads worker: its steps side by side, claimed in waves as places come free."""

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Final

from steps.attempt import Attempt, Died, End
from steps.ledger.records import Claimed, ClaimedStep, StepFate
from steps.outcome import OutcomeError
from steps.side_by_side import Elsewhere, SideBySide
from workers.fates import given_back
from workers.kit import STOP_REASON, Kit
from workers.run_in_hand import RunInHand
from workers.slots import Slots
from workers.stages import StepInHand, conclude, facts, fail, take_in_hand
from workers.step_events import StepEvents, silent

logger = logging.getLogger(__name__)

SETTLE_WITHIN_S: Final = 0.001
"""Ends that come so soon after one another are settled in one call; the last one is never held back."""


class HeldSteps:
    """What a threads worker has claimed and not settled, so that the keeper can stop a step and tell the ledger.

    Args:
        events: Tells who listens what the ledger made of a death; nobody by default.
    """

    def __init__(self, events: StepEvents | None = None) -> None:
        self._events = events or silent()
        self._lock = threading.Lock()
        self._held: dict[tuple[str, int], tuple[SideBySide, Attempt] | None] = {}
        self._stopped_early: set[tuple[str, int]] = set()
        self._dead: dict[tuple[str, int], int] = {}

    def names(self) -> tuple[str, ...]:
        """Return ``run:index`` of each."""
        with self._lock:
            return tuple(f"{run_id}:{index}" for run_id, index in self._held)

    def add(self, run_id: str, steps: Iterable[ClaimedStep]) -> None:
        """These have been claimed."""
        with self._lock:
            for step in steps:
                self._held[run_id, step.index] = None
                self._dead.pop((run_id, step.index), None)  # the ledger must have taken it back to grant it again

    def start(
        self, run_id: str, index: int, side: SideBySide, attempt: Attempt, elsewhere: Elsewhere | None = None
    ) -> None:
        """Start an attempt and list it, in one: a stop comes after both, or is remembered until then."""
        with self._lock:
            side.start(attempt, elsewhere)
            self._held[run_id, index] = (side, attempt)
            is_stopped = (run_id, index) in self._stopped_early
        if is_stopped:
            side.stop(attempt, STOP_REASON)

    def discard(self, run_id: str, fates: Iterable[StepFate]) -> None:
        """The ledger has answered the settle of these."""
        with self._lock:
            for fate in fates:
                self._held.pop((run_id, fate.index), None)
                self._stopped_early.discard((run_id, fate.index))

    def stop(self, run_id: str, index: int) -> None:
        """Stop an attempt if it runs here: a coroutine is cancelled, a blocking step is told by ``ctx.cancelled``."""
        with self._lock:
            found = self._held.get((run_id, index))
            if found is None and (run_id, index) in self._held:
                self._stopped_early.add((run_id, index))
        if found is not None:
            side, attempt = found
            side.stop(attempt, STOP_REASON)

    def die(self, run_id: str, index: int, fence: int) -> None:
        """The process of this claim has died; it stays listed until the ledger has taken it back."""
        with self._lock:
            self._dead[run_id, index] = fence

    def tend(self) -> None:
        """Nothing: what runs in processes of their own is stopped by these."""

    def dead_claims(self) -> tuple[tuple[str, int], ...]:
        """Return (run:index, fence) of those whose process has died, again until `acknowledge`."""
        if not self._dead:
            return ()
        with self._lock:
            return tuple((f"{run_id}:{index}", fence) for (run_id, index), fence in self._dead.items())

    def acknowledge(self, claims: Iterable[tuple[str, int]]) -> None:
        """The ledger has taken these back."""
        for name, fence in claims:
            run_id, _, index = name.rpartition(":")
            with self._lock:
                if self._dead.get((run_id, int(index))) != fence:
                    continue
                del self._dead[run_id, int(index)]
                self._held.pop((run_id, int(index)), None)
                self._stopped_early.discard((run_id, int(index)))
            if self._events.is_on:
                self._events.look(run_id, int(index))


class SidePipeline:
    """Works off parcels, each on a thread of the Celery pool; all share the worker's slots.

    Args:
        kit: The worker's.
        slots: Its places for running steps.
        held: Where what it has claimed is listed.
    """

    def __init__(self, *, kit: Kit, slots: Slots, held: HeldSteps) -> None:
        self._kit = kit
        self._slots = slots
        self._held = held

    def run(self, run_id: str, parcel: int) -> None:
        """Claim a wave, run it, and settle and claim as steps end, until nothing of the parcel is granted."""
        wave = self._kit.settings.parcel_size
        places = self._slots.take(wave, timeout_s=None)
        granted = 0
        try:
            if self._kit.is_draining():
                return
            claimed = self._kit.ledger.claim(run_id, parcel, worker=self._kit.worker_id, want=places, with_meta=True)
            if claimed is None or not claimed.steps:
                return
            granted = len(claimed.steps)
        finally:
            self._slots.give_back(places - granted)
        _ParcelInHand(self._kit, self._slots, self._held, run_id, parcel).work_off(claimed)


class _ParcelInHand:
    """One parcel being worked off: every claimed step holds a place from its claim until its settle is answered."""

    def __init__(self, kit: Kit, slots: Slots, held: HeldSteps, run_id: str, parcel: int) -> None:
        self._kit = kit
        self._slots = slots
        self._held = held
        self._run_id = run_id
        self._parcel = parcel
        self._run: RunInHand | None = None
        self._side = SideBySide()
        self._in_hand: dict[Attempt, StepInHand] = {}
        self._deadline: float | None = None
        self._retried_for: dict[int, OutcomeError] = {}

    def work_off(self, claimed: Claimed) -> None:
        """Go round until nothing runs and nothing is granted."""
        fates = self._start(claimed)
        while self._in_hand or fates:
            if claimed.has_more and not fates:
                claimed = self._claim_more()
                fates += self._start(claimed)
            fates += self._collect(may_wait=not fates)
            if fates:
                claimed = self._settle(fates, has_more=claimed.has_more)
                fates = self._start(claimed)

    def _start(self, claimed: Claimed) -> list[StepFate]:
        """Start what was claimed; returns the fates of steps that are decided without running."""
        if claimed.remaining_s is not None:
            self._deadline = time.monotonic() + claimed.remaining_s
        self._held.add(self._run_id, claimed.steps)
        decided = []
        for step in claimed.steps:
            try:
                fate = self._begin(claimed, step)
            except Exception as error:  # noqa: BLE001 - ours: a step's own is part of how its attempt ended
                fate = fail(self._kit, self._run_id, step, error)
            if fate is not None:
                decided.append(fate)
        if claimed.steps and self._kit.events.is_on and self._run is not None:
            self._tell_begin(self._run, claimed.steps, decided)
        return decided

    def _tell_begin(self, run: RunInHand, steps: Sequence[ClaimedStep], decided: Sequence[StepFate]) -> None:
        events, never_ran = self._kit.events, {fate.index for fate in decided}
        events.received(run, steps)
        events.started(run, [step for step in steps if step.index not in never_ran])

    def _begin(self, claimed: Claimed, step: ClaimedStep) -> StepFate | None:
        if self._run is None:
            self._run = RunInHand(self._run_id, claimed.meta, read=self._kit.read)
        in_hand = take_in_hand(self._kit, self._run, claimed, step)
        if in_hand.attempt is None:
            return in_hand.fate
        attempt = in_hand.attempt
        self._held.start(self._run_id, step.index, self._side, attempt, self._elsewhere(attempt, step))
        self._in_hand[attempt] = in_hand
        return None

    def _elsewhere(self, attempt: Attempt, step: ClaimedStep) -> Elsewhere | None:
        """Return what runs an attempt that is not to run among the others."""
        processes, is_alone = self._kit.own_processes, step.is_suspect or attempt.definition.isolation is not None
        return processes.within(self._deadline) if processes is not None and is_alone else None

    def _collect(self, *, may_wait: bool) -> list[StepFate]:
        if not self._in_hand:
            return []
        ended = self._side.wait(None if may_wait else 0)
        until = time.monotonic() + SETTLE_WITHIN_S
        while ended and self._side.running and (left_s := until - time.monotonic()) > 0:
            ended += self._side.wait(left_s)
        fates = [self._conclude(self._in_hand.pop(attempt), end) for attempt, end in ended]
        return [fate for fate in fates if fate is not None]

    def _conclude(self, in_hand: StepInHand, end: End) -> StepFate | None:
        if isinstance(end, Died) and end.is_announced:
            return given_back(in_hand.claimed.index, in_hand.claimed.fence)
        if isinstance(end, Died):
            self._leave_to_ledger(in_hand, end)
            return None
        remaining_s = None if self._deadline is None else self._deadline - time.monotonic()
        try:
            fate = conclude(self._kit, in_hand, end, remaining_s=remaining_s)
        except Exception as error:  # noqa: BLE001 - ours, as above
            return fail(self._kit, self._run_id, in_hand.claimed, error)
        if in_hand.retried_for is not None:
            self._retried_for[fate.index] = in_hand.retried_for
        return fate

    def _leave_to_ledger(self, in_hand: StepInHand, death: Died) -> None:
        """Have a death counted, by the keeper: the ledger knows how many there were."""
        logger.warning("step %s died: %s", in_hand.call.name, death.reason, extra=facts(in_hand))
        self._held.die(self._run_id, in_hand.claimed.index, in_hand.claimed.fence)
        self._slots.give_back(1)
        self._kit.nudge.set()

    def _settle(self, fates: list[StepFate], *, has_more: bool) -> Claimed:
        kit, freed = self._kit, len(fates)
        extra = self._slots.take(kit.settings.parcel_size, timeout_s=0) if has_more else 0
        places = freed + extra
        want = 0 if kit.is_draining() else places
        settled = kit.insist(
            lambda: kit.ledger.settle_and_claim_next(self._run_id, self._parcel, fates, worker=kit.worker_id, want=want)
        )
        self._held.discard(self._run_id, fates)
        self._slots.give_back(places - len(settled.next.steps))
        kit.pass_on(fates, settled)
        if kit.events.is_on and self._run is not None:
            kit.events.ended(self._run, fates, settled.accepted, self._retried_for)
        self._retried_for = {}
        return settled.next

    def _claim_more(self) -> Claimed:
        """Claim with places that are free beside the steps that run."""
        kit = self._kit
        places = 0 if kit.is_draining() else self._slots.take(kit.settings.parcel_size, timeout_s=0)
        claimed = None
        if places:
            claimed = kit.insist(
                lambda: kit.ledger.claim(self._run_id, self._parcel, worker=kit.worker_id, want=places, with_meta=False)
            )
        granted = claimed or Claimed()
        self._slots.give_back(places - len(granted.steps))
        return granted
