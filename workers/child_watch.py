"""What the parent of prefork children does for them: hard stops, and claims left behind by a child that died."""

import logging
import signal
import time
from collections.abc import Sequence
from math import inf
from typing import Final

from producer.publish import Publisher
from steps.errors import BrokerUnavailable
from steps.ledger import Ledger
from steps.ledger.records import StepFate
from steps.outcome import OutcomeError, Settlement, Status
from workers.child_board import ChildBoard, Hold
from workers.fates import given_back, tried_again
from workers.fork_gate import fork_gate
from workers.nudge import Nudge
from workers.processes import end_session, has_ended, hold_session_still, kill, let_session_go, wait_for_end
from workers.step_events import StepEvents, silent

logger = logging.getLogger(__name__)

HARD_STOP_AFTER_S: Final = 0.7
"""How long past its deadline, or after its run was stopped, a step that ignores the soft stop may go on.

The keeper looks every quarter of a second, and all of it is to be over within one.
"""

STANDS_STILL_WITHIN_S: Final = 0.05
"""How long a child, or what it has started, may take to stop when it is sent SIGSTOP; else it is looked at again."""

TIMED_OUT: Final[tuple[Status, OutcomeError]] = (
    "timed_out",
    OutcomeError("StepTimeout", "the step ignored its time-out and was killed"),
)
CANCELLED: Final[tuple[Status, OutcomeError]] = (
    "cancelled",
    OutcomeError("Stopped", "the step ignored that its run was stopped, and was killed"),
)


class ChildWatch:
    """Looks over the board of a prefork parent.

    Args:
        board: What the children say they run.
        ledger: The site's ledger.
        publisher: Sends what became ready.
        worker_id: The parent's.
        nudge: Wakes the worker's keeper where a retry is due later.
        events: Tells who listens what a child can no longer tell; nobody by default.
    """

    def __init__(
        self,
        *,
        board: ChildBoard,
        ledger: Ledger,
        publisher: Publisher,
        worker_id: str,
        nudge: Nudge,
        events: StepEvents | None = None,
    ) -> None:
        self._board = board
        self._ledger = ledger
        self._publisher = publisher
        self._worker_id = worker_id
        self._nudge = nudge
        self._events = events or silent()
        self._killed: set[int] = set()
        self._still: dict[int, int] = {}
        self._unanswered: set[int] = set()
        self._swept: set[int] = set()
        self._stopped_at_s: dict[int, float] = {}

    def tend(self) -> None:
        """Stop what overran, free the lanes of what was killed."""
        holds = self._board.holds()
        fences = {hold.fence for hold in holds}
        self._swept &= fences
        self._unanswered &= fences
        # Who has settled by itself, and holds another step or none, is not to stand still for the one before.
        for fence in self._still.keys() - fences:
            let_session_go(self._still.pop(fence))
        self._stopped_at_s = {fence: at_s for fence, at_s in self._stopped_at_s.items() if fence in fences}
        for hold in holds:
            if not self._is_gone(hold):
                self._stop_if_late(hold)
            elif hold.fence in self._killed:
                self._vacate(hold)
            elif hold.is_given_back:
                self._give_back(hold)

    def dead_claims(self) -> tuple[tuple[str, int], ...]:
        """Return (run:index, fence) of the children that died by themselves, again until `acknowledge`."""
        return tuple(
            (_name(hold), hold.fence)
            for hold in self._board.holds()
            if hold.fence not in self._killed and not hold.is_given_back and self._is_gone(hold)
        )

    def _is_gone(self, hold: Hold) -> bool:
        """Whether the child has ended; then what its step had started is ended too, before anybody takes its place."""
        if not has_ended(hold.pid):
            return False
        if hold.fence not in self._swept:
            self._swept.add(hold.fence)
            end_session(hold.pid)
        return True

    def names(self) -> tuple[str, ...]:
        """Return run:index of all that children hold, the dead ones included."""
        return tuple(_name(hold) for hold in self._board.holds())

    def acknowledge(self, claims: Sequence[tuple[str, int]]) -> None:
        """Take from the board what the ledger has taken back."""
        fences = {fence for _, fence in claims}
        for hold in self._board.holds():
            if hold.fence in fences:
                self._board.clear(hold.slot)
                if self._events.is_on:
                    self._events.look(hold.run_id, hold.index)

    def stop(self, run_id: str, index: int) -> None:
        """Ask the child that runs this step to stop it softly; it is killed if it has not stopped after a moment."""
        for hold in self._board.holds():
            if (hold.run_id, hold.index) == (run_id, index):
                self._stopped_at_s.setdefault(hold.fence, time.monotonic())
                self._board.ask_to_stop(hold.slot, hold.fence)
                kill(hold.pid, signal.SIGALRM)

    def kill_all(self, within_s: float) -> None:
        """Kill the children that run a step; returns when their code has stopped, so that their lanes may be freed."""
        pids = [hold.pid for hold in self._board.holds()]
        for pid in pids:
            kill(pid)
        wait_for_end(pids, within_s)
        for pid in pids:
            end_session(pid)

    def _vacate(self, hold: Hold) -> None:
        with fork_gate():
            self._publisher.publish(self._ledger.vacate(hold.run_id, hold.index, hold.fence).ready)
        self._board.clear(hold.slot)
        self._killed.discard(hold.fence)

    def _give_back(self, hold: Hold) -> None:
        """A child ended that nobody is to be blamed for: its step runs again, and no death is counted."""
        logger.info("a child has ended, step %d of run %s is given back", hold.index, hold.run_id)
        fate = given_back(hold.index, hold.fence)
        with fork_gate():
            settled = self._ledger.settle(hold.run_id, hold.parcel, [fate], worker=self._worker_id)
            self._publisher.publish(settled.ready)
        self._board.clear(hold.slot)

    def _stop_if_late(self, hold: Hold) -> None:
        end_s = min(hold.deadline_s, self._stopped_at_s.get(hold.fence, inf))
        if time.monotonic() <= end_s + HARD_STOP_AFTER_S or hold.fence in self._killed:
            return
        if hold.fence in self._unanswered or (hold.retry_s is not None and hold.fence not in self._stopped_at_s):
            self._stop_for_retry(hold)
        else:
            self._stop_hard(hold)

    def _stop_for_retry(self, hold: Hold) -> None:
        """Have a step tried again that ignored its time-out: its child must not move when the lane is free for others.

        So it stands still, with all that it has started in its session, while the ledger is asked; then it is killed,
        or goes on where it had settled by itself.
        """
        self._still[hold.fence] = hold.pid
        if not hold_session_still(hold.pid, STANDS_STILL_WITHIN_S):
            return
        fate = tried_again(hold.index, hold.fence, after_s=hold.retry_s or 0.0)
        try:
            with fork_gate():
                settled = self._ledger.settle(hold.run_id, hold.parcel, [fate], worker=self._worker_id)
        except BrokerUnavailable as error:
            self._unanswered.add(hold.fence)
            logger.warning("step %s of run %s overran and stands still: %s", hold.index, hold.run_id, error)
            return
        # What was asked before may have been done, though its answer was lost. If instead the child had settled by
        # itself, and was stopped before it read the answer, the step that it claimed with it is on no board: it is
        # taken back after 10 s, like any claim whose answer was lost.
        if settled.accepted[0] or hold.fence in self._unanswered:
            self._kill_for_retry(hold)
        else:
            let_session_go(hold.pid)
        del self._still[hold.fence]
        with fork_gate():
            self._publisher.publish(settled.ready)

    def _kill_for_retry(self, hold: Hold) -> None:
        self._unanswered.discard(hold.fence)
        end_session(hold.pid)  # first: the end of its parent would wake who stands still in a group of its own
        kill(hold.pid)
        self._board.clear(hold.slot)
        self._nudge.set()
        logger.info("step %s of run %s was killed at its time-out, and is tried again", hold.index, hold.run_id)

    def _stop_hard(self, hold: Hold) -> None:
        """Settle first, and kill only if that was accepted: so the next step in that child is never the victim."""
        if hold.fence in self._stopped_at_s:
            status, error = CANCELLED
        else:
            status, error = TIMED_OUT
        settlement = Settlement(
            status=status,
            error=error,
            attempts=hold.attempt,
            queued_ms=round(hold.queued_ms, 3),
            ran_ms=round((time.monotonic() - hold.began_s) * 1000, 3),
            worker=self._worker_id,
            started_ms=hold.started_ms,
        )
        fate = StepFate(hold.index, hold.fence, "S", status, settlement.encode())
        try:
            with fork_gate():
                settled = self._ledger.settle(hold.run_id, hold.parcel, [fate], worker=self._worker_id, vacated=False)
        except BrokerUnavailable as error:
            logger.warning("step %s of run %s overran and is left alone: %s", hold.index, hold.run_id, error)
            return
        if settled.accepted[0]:
            self._killed.add(hold.fence)
            kill(hold.pid)
            if self._events.is_on:
                self._events.look(hold.run_id, hold.index)
        with fork_gate():
            self._publisher.publish(settled.ready)


def _name(hold: Hold) -> str:
    return f"{hold.run_id}:{hold.index}"
