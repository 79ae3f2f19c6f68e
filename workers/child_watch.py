"""What the parent of prefork children does for them: hard stops, and claims left behind by a child that died."""

import logging
import signal
import time
from collections.abc import Sequence
from typing import Final

from producer.publish import Publisher
from steps.errors import BrokerUnavailable
from steps.ledger import Ledger
from steps.ledger.records import StepFate
from steps.outcome import OutcomeError, Settlement
from workers.child_board import ChildBoard, Hold
from workers.fork_gate import fork_gate
from workers.processes import has_ended, kill

logger = logging.getLogger(__name__)

HARD_STOP_AFTER_S: Final = 1.0
"""How long past its deadline a step that ignores the soft stop may go on."""


class ChildWatch:
    """Looks over the board of a prefork parent.

    Args:
        board: what the children say they run.
        ledger: the site's ledger.
        publisher: sends what became ready.
        worker_id: the parent's.
    """

    def __init__(self, *, board: ChildBoard, ledger: Ledger, publisher: Publisher, worker_id: str) -> None:
        self._board = board
        self._ledger = ledger
        self._publisher = publisher
        self._worker_id = worker_id
        self._killed: set[int] = set()

    def dead_claims(self) -> tuple[tuple[str, int], ...]:
        """Stop what overran, free what was killed; returns (run:index, fence) of the children that died by themselves.

        They stay on the board, and are returned again, until `acknowledge`.
        """
        dead: list[tuple[str, int]] = []
        for hold in self._board.holds():
            if not has_ended(hold.pid):
                self._stop_if_late(hold)
            elif hold.fence in self._killed:
                self._vacate(hold)
            else:
                dead.append((f"{hold.run_id}:{hold.index}", hold.fence))
        return tuple(dead)

    def acknowledge(self, claims: Sequence[tuple[str, int]]) -> None:
        """Take from the board what the ledger has taken back."""
        fences = {fence for _, fence in claims}
        for hold in self._board.holds():
            if hold.fence in fences:
                self._board.clear(hold.slot)

    def stop(self, run_id: str, index: int) -> None:
        """Ask the child that runs this step to stop it softly; a coroutine or a deaf step ends with its run's grace."""
        for hold in self._board.holds():
            if (hold.run_id, hold.index) == (run_id, index):
                self._board.ask_to_stop(hold.slot, hold.fence)
                kill(hold.pid, signal.SIGALRM)

    def _vacate(self, hold: Hold) -> None:
        with fork_gate():
            self._publisher.publish(self._ledger.vacate(hold.run_id, hold.index, hold.fence).ready)
        self._board.clear(hold.slot)
        self._killed.discard(hold.fence)

    def _stop_if_late(self, hold: Hold) -> None:
        if time.monotonic() > hold.deadline_s + HARD_STOP_AFTER_S and hold.fence not in self._killed:
            self._stop_hard(hold)

    def _stop_hard(self, hold: Hold) -> None:
        """Settle first, and kill only if that was accepted: so the next step in that child is never the victim."""
        settlement = Settlement(
            status="timed_out",
            error=OutcomeError("StepTimeout", "the step ignored its time-out and was killed"),
            attempts=hold.attempt,
            ran_ms=(time.monotonic() - hold.began_s) * 1000,
            worker=self._worker_id,
            started_ms=hold.started_ms,
        )
        fate = StepFate(hold.index, hold.fence, "S", "timed_out", settlement.encode())
        try:
            with fork_gate():
                settled = self._ledger.settle(hold.run_id, hold.parcel, [fate], worker=self._worker_id, vacated=False)
        except BrokerUnavailable as error:
            logger.warning("step %s of run %s overran and is left alone: %s", hold.index, hold.run_id, error)
            return
        if settled.accepted[0]:
            self._killed.add(hold.fence)
            kill(hold.pid)
        with fork_gate():
            self._publisher.publish(settled.ready)
