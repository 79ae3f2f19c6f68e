"""One completion inbox a process: a single blocking pop wakes every thread and coroutine that waits for a run."""

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final

import redis

from config.settings import Settings
from producer.notices import EarlyNotices, Notice, notice_of
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

RETRY_PAUSE_S: Final = 0.2
"""The longest pause between two tries to reach a Redis that is away, half of it the shortest."""

CLOSED: Final = "this producer was closed while a run was waited for"

NOTICES_A_CALL: Final = 100
"""Notices taken at once where more than one waits."""


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
        self._early = EarlyNotices()
        self._asked: list[str] = []
        self._looker: threading.Thread | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def wait_for(self, run_id: str, *, look_now: bool = False) -> "Future[Notice]":
        """Return a future of the run's notice; it fails with `RunLost` or `BrokerUnavailable`.

        Args:
            run_id: The run.
            look_now: Look at it at once: it may have settled so long ago that its notice was dropped.
        """
        future: Future[Notice] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            if (notice := self._early.take(run_id)) is not None:
                future.set_result(notice)
                return future
            if self._is_closed:
                future.set_exception(BrokerUnavailable(CLOSED))
                return future
            self._waiting.setdefault(run_id, []).append(future)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="stepline-inbox", daemon=True)
                self._thread.start()
            if look_now:
                self._ask(run_id)
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
            self._thread.join(timeout=PATIENCE_S)
        self._client.close()

    # the listening thread -----------------------------------------------------------------------------------------

    def _listen(self) -> None:
        answered = looked = wanted = time.monotonic()
        while not self._is_closed:
            try:
                self._receive()
                now = time.monotonic()
                if now - looked >= LOOK_EVERY_S:
                    self._look_at_all()
                    looked = now
                answered = now
            except (redis.RedisError, BrokerUnavailable) as error:
                looked = float("-inf")  # what comes back may be older: look as soon as it answers
                if time.monotonic() - answered > PATIENCE_S:
                    self._fail_all(BrokerUnavailable(f"Redis has not answered for {PATIENCE_S:g} s: {error}"))
                time.sleep(random.uniform(RETRY_PAUSE_S / 2, RETRY_PAUSE_S))
            with self._lock:
                wanted = time.monotonic() if self._waiting else wanted
                if time.monotonic() - wanted > IDLE_S:
                    self._thread = None
                    return

    def _receive(self) -> None:
        first: Any = self._client.blpop([self._key], timeout=LOOK_EVERY_S)
        found: Any = [] if first is None else [first[1]]
        while found:
            notices = [notice for text in found if (notice := notice_of(text)) is not None]
            were_early = [self._deliver(notice) for notice in notices]
            may_be_more = len(self._waiting) > 1 or any(were_early)
            found = self._client.lpop(self._key, NOTICES_A_CALL) if may_be_more else None

    def _ask(self, run_id: str) -> None:
        """Have a run looked at by a thread: whoever waits may have a time-out shorter than that of a connection."""
        self._asked.append(run_id)
        if self._looker is None:
            self._looker = threading.Thread(target=self._look_at_asked, name="stepline-inbox-look", daemon=True)
            self._looker.start()

    def _look_at_asked(self) -> None:
        while run_ids := self._next_asked():
            try:
                self._look(run_ids)
            except (redis.RedisError, BrokerUnavailable) as error:  # the listening thread tells where it lasts
                logger.info("could not look at %d runs: %s", len(run_ids), error)

    def _next_asked(self) -> list[str]:
        with self._lock:
            run_ids, self._asked = self._asked, []
            if not run_ids:
                self._looker = None
        return run_ids

    def _look_at_all(self) -> None:
        with self._lock:
            run_ids = list(self._waiting)
        if run_ids:
            self._look(run_ids)

    def _look(self, run_ids: Sequence[str]) -> None:
        states = self._ledger.watch(self.id, run_ids, published=self._take_marks())
        for run_id, state in states.items():
            if state == "settled":
                self._deliver(Notice(run_id))
            elif state == "gone":
                self._fail(run_id, RunLost(run_id))

    def _deliver(self, notice: Notice) -> bool:
        """Hand a notice to who waits for it; returns whether nobody does yet."""
        with self._lock:
            futures = self._waiting.pop(notice.run_id, [])
            if not futures:
                self._early.keep(notice)
        for future in futures:
            future.set_result(notice)
        return not futures

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
