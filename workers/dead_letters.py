"""Messages that this worker could not understand: logged sparingly, kept in the ledger, the worker lives on."""

import logging
import threading
import time
from collections import deque
from typing import Final

from steps.ledger import Ledger
from steps.ledger.dead_letter import KEPT_BYTES, DeadLetter
from workers.fork_gate import fork_gate
from workers.nudge import Nudge
from workers.sparse_log import SparseLog

logger = logging.getLogger(__name__)

MOST_WAITING: Final = 1_000
"""Letters that wait to be written; the ledger keeps no more of them either."""

LETTERS_A_CALL: Final = 100

WRITTEN_APART_S: Final = 0.5
"""A flood of broken messages makes no more calls than this; beats write them too."""

SHOWN_BYTES: Final = 200


class DeadLetters:
    """Takes messages from the thread that consumes, and has the keeper's thread write them down.

    So no message waits for Redis, and no fork meets a connection in mid-sentence.

    Args:
        ledger: The site's.
        worker_id: Who takes them.
        nudge: Wakes the keeper.
    """

    def __init__(self, *, ledger: Ledger, worker_id: str, nudge: Nudge) -> None:
        self._ledger = ledger
        self._worker_id = worker_id
        self._nudge = nudge
        self._log = SparseLog(logger)
        self._lock = threading.Lock()
        self._waiting: deque[DeadLetter] = deque(maxlen=MOST_WAITING)
        self._written_at_s = 0.0

    def take(self, queue: str, raw: bytes, reason: str, detail: str = "") -> None:
        """Set a message aside; returns at once.

        Args:
            queue: Where it was.
            raw: All of it.
            reason: Why it was not understood, in words that are the same for all of its kind.
            detail: What of it was not; printable.
        """
        told = f"{reason}: {detail}" if detail else reason
        letter = DeadLetter(
            at_ms=time.time() * 1000,
            queue=queue,
            worker=self._worker_id,
            reason=told,
            size=len(raw),
            raw=bytes(raw[:KEPT_BYTES]),
        )
        self._log.tell(reason, f"set aside a message of {queue}: {told}; it begins {letter.excerpt(SHOWN_BYTES)}")
        with self._lock:
            self._waiting.append(letter)
        if time.monotonic() - self._written_at_s > WRITTEN_APART_S:
            self._nudge.set()

    def flush(self) -> None:
        """Write down what waits, and log what was counted; what cannot be written now is tried again."""
        self._log.count_up()
        while letters := self._first():
            try:
                with fork_gate():
                    self._ledger.site.set_aside(letters)
            except Exception as error:  # noqa: BLE001 - whatever it is, the beats of this worker matter more
                with self._lock:
                    self._waiting = deque([*letters, *self._waiting], maxlen=MOST_WAITING)
                self._log.tell("not written", f"messages that were set aside wait to be written down: {error}")
                return

    def _first(self) -> list[DeadLetter]:
        with self._lock:
            self._written_at_s = time.monotonic()
            return [self._waiting.popleft() for _ in range(min(LETTERS_A_CALL, len(self._waiting)))]
