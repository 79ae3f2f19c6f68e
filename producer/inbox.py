"""One completion inbox a process: a single blocking pop wakes every thread and coroutine that waits for a run."""

import json
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

import redis

from config.settings import Settings
from steps.errors import BrokerUnavailable, RunLost
from steps.ledger import Ledger
from steps.ledger.connection import connect

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.5
"""A notice is only a hint: so often the waiter looks for itself."""

PATIENCE_S: Final = 5.0
"""How long Redis may be away before those who wait are told."""

IDLE_S: Final = 10.0
"""How long the thread outlives the last waiter."""

RETRY_PAUSE_S: Final = 0.1
"""Between two tries to reach a Redis that is away."""

CLOSED: Final = "this producer was closed while a run was waited for"

EARLY_KEPT: Final = 1_000
"""Notices kept for runs that nobody has asked for yet."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A run has settled, after ``total_ms``; ``outcomes`` are its settlements in ledger order where they came along."""

    run_id: str
    total_ms: float = 0.0
    outcomes: tuple[dict[str, Any], ...] | None = None


class Inbox:
    """Waits for runs on behalf of a whole process.

    Args:
        ledger: Where the runs are.
        settings: time-outs of the connection.
        url: The Redis of the ledger.
        take_marks: Returns what was published since its last call; the marks ride along with the looks.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        settings: Settings,
        url: str,
        take_marks: Callable[[], Sequence[tuple[str, int]]],
    ) -> None:
        self.id = secrets.token_hex(8)
        self._ledger = ledger
        self._client = connect(settings, url)
        self._key = ledger.inbox_key(self.id)
        self._take_marks = take_marks
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Future[Notice]]] = {}
        self._early: OrderedDict[str, Notice] = OrderedDict()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def wait_for(self, run_id: str) -> "Future[Notice]":
        """Return a future of the run's notice; it fails with `RunLost` or `BrokerUnavailable`."""
        future: Future[Notice] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            if (notice := self._early.pop(run_id, None)) is not None:
                future.set_result(notice)
                return future
            if self._is_closed:
                future.set_exception(BrokerUnavailable(CLOSED))
                return future
            self._waiting.setdefault(run_id, []).append(future)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="stepline-inbox", daemon=True)
                self._thread.start()
        return future

    def stop_waiting(self, run_id: str, future: "Future[Notice]") -> None:
        """Forget a future that nobody waits for any more."""
        with self._lock:
            left = [other for other in self._waiting.get(run_id, ()) if other is not future]
            if left:
                self._waiting[run_id] = left
            else:
                self._waiting.pop(run_id, None)

    def close(self) -> None:
        """Stop listening; futures that still wait fail."""
        with self._lock:
            self._is_closed = True
        self._fail_all(BrokerUnavailable(CLOSED))
        if self._thread is not None:
            self._thread.join(timeout=2 * LOOK_EVERY_S + PATIENCE_S)
        self._client.close()

    # the listening thread -----------------------------------------------------------------------------------------

    def _listen(self) -> None:
        answered = looked = wanted = time.monotonic()
        while not self._is_closed:
            try:
                self._receive()
                now = time.monotonic()
                if now - looked >= LOOK_EVERY_S:
                    self._look()
                    looked = now
                answered = now
            except (redis.RedisError, BrokerUnavailable) as error:
                if time.monotonic() - answered > PATIENCE_S:
                    self._fail_all(BrokerUnavailable(f"Redis has not answered for {PATIENCE_S:g} s: {error}"))
                time.sleep(RETRY_PAUSE_S)
            with self._lock:
                wanted = time.monotonic() if self._waiting else wanted
                if time.monotonic() - wanted > IDLE_S:
                    self._thread = None
                    return

    def _receive(self) -> None:
        item: Any = self._client.blpop([self._key], timeout=LOOK_EVERY_S)
        while item is not None:
            if (notice := _notice_of(item[1] if isinstance(item, (list, tuple)) else item)) is not None:
                self._deliver(notice)
            item = self._client.lpop(self._key) if len(self._waiting) > 1 else None

    def _look(self) -> None:
        with self._lock:
            run_ids = list(self._waiting)
        if not run_ids:
            return
        states = self._ledger.watch(self.id, run_ids, published=self._take_marks())
        for run_id, state in states.items():
            if state == "settled":
                self._deliver(Notice(run_id))
            elif state == "gone":
                self._fail(run_id, RunLost(run_id))

    def _deliver(self, notice: Notice) -> None:
        with self._lock:
            futures = self._waiting.pop(notice.run_id, [])
            if not futures:
                self._early[notice.run_id] = notice
                if len(self._early) > EARLY_KEPT:
                    self._early.popitem(last=False)
        for future in futures:
            future.set_result(notice)

    def _fail(self, run_id: str, error: Exception) -> None:
        with self._lock:
            futures = self._waiting.pop(run_id, [])
        for future in futures:
            future.set_exception(error)

    def _fail_all(self, error: Exception) -> None:
        with self._lock:
            run_ids = list(self._waiting)
        for run_id in run_ids:
            self._fail(run_id, error)


def _notice_of(text: bytes) -> Notice | None:
    """Read a notice; None where it is none, which must not end the waiting for the others."""
    try:
        record = json.loads(text)
        outcomes = record.get("outcomes")
        return Notice(
            run_id=record["run"],
            total_ms=record.get("total_us", 0) / 1000,
            outcomes=None if outcomes is None else tuple(outcomes),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        logger.warning("a notice that cannot be understood is dropped: %r", error)
        return None
