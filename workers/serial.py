"""The pipeline of a parcel in a prefork child: one step after another, each claimed when the one before has settled."""

import logging
import os
import time
from math import inf
from typing import Final

from steps.attempt import Attempt, End, Overran, Raised, Returned, Stopped
from steps.calling import end_of_blocking
from steps.ledger.records import Claimed, ClaimedStep, StepFate
from steps.outcome import OutcomeError
from steps.side_by_side import SideBySide
from workers.alarm import Alarm
from workers.child_board import ChildBoard, Hold
from workers.child_signals import ChildSignals
from workers.kit import STOP_REASON, Kit
from workers.run_in_hand import RunInHand
from workers.stages import StepInHand, conclude, fail, retry_if_killed_s, take_in_hand

logger = logging.getLogger(__name__)

REFUSED_EXIT: Final = 70
"""Exit code of a child whose settle was refused: somebody settled for it, and may be about to kill it."""

STOP_SEEN_EVERY_S: Final = 0.1
"""How soon a running coroutine notices that its run was stopped."""


class SerialPipeline:
    """Works off parcels in the main thread of a child.

    Args:
        kit: The worker's.
        board: Where this child says what it runs.
        slot: Its place there.
    """

    def __init__(self, *, kit: Kit, board: ChildBoard, slot: int) -> None:
        self._kit = kit
        self._board = board
        self._slot = slot
        self._alarm = Alarm()
        self._signals = ChildSignals(give_back=lambda: board.give_back(slot))
        self._retried_for: dict[int, OutcomeError] = {}
        self._told_of: RunInHand | None = None
        self._told_to = 0

    def run(self, run_id: str, parcel: int) -> None:
        """Claim, execute, decide, settle; and so on until nothing of the parcel is granted."""
        if not self._kit.is_draining():
            with self._signals.held():
                self._work_off(run_id, parcel)

    def _work_off(self, run_id: str, parcel: int) -> None:
        ledger, marks = self._kit.ledger, self._kit.publisher.take_marks()  # no keeper here tells of them
        claimed = ledger.claim(run_id, parcel, worker=self._kit.worker_id, want=1, with_meta=True, published=marks)
        if claimed is None or not claimed.steps:
            return
        meta, run = claimed.meta, None
        while claimed.steps:
            step = claimed.steps[0]
            self._retried_for = {}
            self._say(run_id, parcel, step, started_ms=claimed.now_ms)
            try:
                run = run or RunInHand(run_id, meta, read=self._kit.read)
                fate = self._execute(run, parcel, claimed)
            except Exception as error:  # noqa: BLE001 - ours: a step's own is part of how its attempt ended
                fate = fail(self._kit, run_id, step, error)
            claimed = self._settle(run_id, parcel, fate)
            if run is not None and self._kit.events.is_on:
                self._tell_end(run, fate, is_last=not claimed.steps)
        self._board.clear(self._slot)

    def _execute(self, run: RunInHand, parcel: int, claimed: Claimed) -> StepFate:
        claimed_at = time.monotonic()
        in_hand = take_in_hand(self._kit, run, claimed, claimed.steps[0])
        attempt = in_hand.attempt
        if self._kit.events.is_on:
            self._tell_begin(in_hand)
        if attempt is None:
            assert in_hand.fate is not None
            return in_hand.fate
        step = in_hand.claimed
        retry_s = retry_if_killed_s(self._kit, attempt, run_remaining_s=claimed.remaining_s)
        self._say(run.run_id, parcel, step, started_ms=in_hand.started_ms, timeout_s=attempt.timeout_s, retry_s=retry_s)
        end = self._run_here(attempt, in_hand)
        left_s = claimed.remaining_s
        remaining_s = None if left_s is None else left_s - (time.monotonic() - claimed_at)
        fate = conclude(self._kit, in_hand, end, remaining_s=remaining_s)
        if in_hand.retried_for is not None:
            self._retried_for[step.index] = in_hand.retried_for
        return fate

    def _tell_begin(self, in_hand: StepInHand) -> None:
        events, run, step = self._kit.events, in_hand.run, in_hand.claimed
        if self._told_of is not run or step.index >= self._told_to:
            events.received(run, [step])
            self._told_of, self._told_to = run, events.received_behind(run, step.index)
        if in_hand.attempt is not None:
            events.started(run, [step])

    def _tell_end(self, run: RunInHand, fate: StepFate, *, is_last: bool) -> None:
        events = self._kit.events
        events.ended(run, [fate], (True,), self._retried_for)
        if is_last:
            events.look_behind(run, fate.index)

    def _say(
        self,
        run_id: str,
        parcel: int,
        step: ClaimedStep,
        *,
        started_ms: float,
        timeout_s: float = inf,
        retry_s: float | None = None,
    ) -> None:
        """Write down what this child holds: from the claim on, and again with its deadline when the attempt begins."""
        now = time.monotonic()
        self._board.write(
            Hold(
                slot=self._slot,
                pid=os.getpid(),
                run_id=run_id,
                parcel=parcel,
                index=step.index,
                fence=step.fence,
                attempt=step.attempt,
                began_s=now,
                deadline_s=now + timeout_s,
                started_ms=started_ms,
                queued_ms=step.queued_ms,
                retry_s=retry_s,
            )
        )

    def _run_here(self, attempt: Attempt, in_hand: StepInHand) -> End:
        if attempt.definition.is_coroutine:
            return self._await_here(attempt, in_hand)
        attempt.begin(time.monotonic())
        fence = in_hand.claimed.fence
        stopped, end = self._alarm.call(
            lambda: end_of_blocking(attempt),
            attempt.timeout_s,
            is_stopped=lambda: self._board.stop_asked(self._slot) == fence,
        )
        attempt.ended = time.monotonic()
        attempt.context.cancel()
        if stopped:
            return Stopped(STOP_REASON) if self._board.stop_asked(self._slot) == fence else Overran()
        assert isinstance(end, Returned | Raised)
        return end

    def _await_here(self, attempt: Attempt, in_hand: StepInHand) -> End:
        side = SideBySide()
        side.start(attempt)
        ended: list[tuple[Attempt, End]] = []
        while not ended:
            ended = side.wait(STOP_SEEN_EVERY_S)
            if self._board.stop_asked(self._slot) == in_hand.claimed.fence:
                side.stop(attempt, STOP_REASON)
        # Only when its code has returned may the lane go on; one that swallows its cancellation is killed.
        while side.is_zombie(attempt):
            side.wait(STOP_SEEN_EVERY_S)
        return ended[0][1]

    def _settle(self, run_id: str, parcel: int, fate: StepFate) -> Claimed:
        kit = self._kit

        def want() -> int:
            return 0 if kit.is_draining() or self._signals.is_leaving else 1

        settled = kit.insist(
            lambda: kit.ledger.settle_and_claim_next(run_id, parcel, [fate], worker=kit.worker_id, want=want())
        )
        if not settled.accepted[0]:
            logger.warning("settling step %d of run %s was refused, this child ends", fate.index, run_id)
            logging.shutdown()
            os._exit(REFUSED_EXIT)
        kit.pass_on([fate], settled)
        return settled.next
