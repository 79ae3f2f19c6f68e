"""How a worker ends: what tells it to, what it finishes, and what it gives back or leaves to the others."""

import logging
import os
import signal
import sys
from typing import Any, Final

from workers.child_board import ChildBoard
from workers.child_watch import ChildWatch
from workers.dead_letters import DeadLetters
from workers.keeper import Keeper
from workers.own_process import OwnProcesses
from workers.patience import Patience

logger = logging.getLogger(__name__)

START_AGAIN_EXIT: Final = 75
"""Exit code of a worker that its site took for dead or did not let in: its launcher starts it under a new id."""

GIVE_UP_EARLY_S: Final = 0.5
"""So long before its launcher would kill it, a worker that cannot finish gives back what it holds."""

SIGN_OFF_WITHIN_S: Final = 1.0
"""A worker that gives up does not try to sign off where Redis has not answered for so long."""


class Ending:
    """Ends a worker once.

    Args:
        keeper: The worker's; signs off for it.
        letters: Broken messages, some of which may not have been written down yet.
        own_processes: Those of steps that run alone.
        board: Where the children of a prefork parent look; None where there are none.
        children: Them.
        shutdown_s: After how long the launcher kills a worker that it has told to stop.
    """

    def __init__(
        self,
        *,
        keeper: Keeper,
        letters: DeadLetters,
        own_processes: OwnProcesses,
        board: ChildBoard | None,
        children: ChildWatch | None,
        shutdown_s: float,
    ) -> None:
        self._keeper = keeper
        self._letters = letters
        self._own_processes = own_processes
        self._board = board
        self._children = children
        self._patience = Patience(
            limit_s=shutdown_s - GIVE_UP_EARLY_S, unanswered_s=keeper.unanswered_s, give_up=self._give_up
        )
        self._is_draining = False  # no event: a signal handler within another would wait for its lock for ever

    @property
    def is_draining(self) -> bool:
        """Whether the worker claims no more."""
        return self._is_draining

    def take_signals(self) -> None:
        """Take from Celery what it would answer with a start under the same id, or by waiting for what is to end."""
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGQUIT, self._quit)

    def drain(self, **_: Any) -> None:
        """Leave to others what has not begun, and give back after so long what still runs."""
        self._is_draining = True
        if self._board is not None:
            self._board.drain()
        self._patience.begin()

    def end_as_dead(self) -> None:
        """End at once: what runs here runs elsewhere too."""
        self._kill_running()
        end_process(START_AGAIN_EXIT)

    def _interrupt(self, *_: Any) -> None:
        """As at SIGTERM; who interrupts a second time does not want to wait."""
        if self._is_draining:
            self._quit()
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    def _quit(self, *_: Any) -> None:
        self.drain()
        self._patience.lose()

    def _give_up(self) -> None:
        """What runs takes too long: end its code, then give the steps back, so that nobody counts a death."""
        if self._keeper.unanswered_s() > SIGN_OFF_WITHIN_S:
            logger.warning("stopping without Redis, the others will notice within the lease")
            self._kill_running()
            end_process(0)
        logger.warning("stopping with steps still running, they are given back")
        # First: a beat that finds the children dead would count their deaths.
        self._keeper.stop(within_s=GIVE_UP_EARLY_S / 4)
        self._kill_running()
        if self._keeper.stop(within_s=0.0):
            self._keeper.leave(keeps_messages=True)
            self._letters.flush()
        else:
            logger.warning("Redis does not answer, the others will notice within the lease")
        end_process(0)

    def _kill_running(self) -> None:
        """Kill the children that run a step, and the processes of steps; threads end with this process."""
        self._own_processes.close(GIVE_UP_EARLY_S / 2)
        if self._children is not None:
            self._children.kill_all(GIVE_UP_EARLY_S / 4)


def end_process(code: int) -> None:
    """End this process at once, with its log lines out."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)
