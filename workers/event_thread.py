"""Sends a process's step events on a thread and a connection of their own: no step waits for a listener's broker."""

import logging
import threading
from collections import deque
from typing import Any, Final

from celery import Celery

from workers.event_fields import StepEvent
from workers.step_events import MakeEvents

logger = logging.getLogger(__name__)

MOST_WAITING: Final = 10_000
"""Sets of events that wait to be sent; beyond, they are dropped: a listener misses something, a worker never grows."""

EVENTS_A_MESSAGE: Final = 100
"""So many events travel in one message at most."""

BUFFERED: Final = frozenset({"task"})


class EventThread:
    """An outlet whose thread starts with the first event.

    Args:
        app: The worker's Celery app.
        node: The worker's name as Celery has it.
    """

    def __init__(self, app: Celery, node: str) -> None:
        self._app = app
        self._node = node
        self._changed = threading.Condition()
        self._waiting: deque[MakeEvents] = deque(maxlen=MOST_WAITING)
        self._is_busy = False
        self._thread: threading.Thread | None = None
        self._connection: Any = None
        self._dispatcher: Any = None
        self._has_complained = False

    def put(self, make: MakeEvents) -> None:
        """Have the thread make and send events; the oldest are dropped where too many wait."""
        with self._changed:
            self._waiting.append(make)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="stepline-events", daemon=True)
                self._thread.start()
            self._changed.notify()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is sent; returns False where it is not within ``timeout_s``."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._is_busy, timeout_s)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
                self._is_busy = True
                makers = list(self._waiting)
                self._waiting.clear()
            self._tell([event for make in makers for event in self._made(make)])

    def _made(self, make: MakeEvents) -> list[StepEvent]:
        try:
            return list(make())
        except Exception as error:  # noqa: BLE001 - a run that has expired, a ledger that is away: no step's concern
            self._complain(error)
            return []

    def _tell(self, events: list[StepEvent]) -> None:
        try:
            dispatcher = self._dispatcher or self._connect()
            for event in events:
                dispatcher.send(event.type, **event.fields)
            dispatcher.flush()
        except Exception as error:  # noqa: BLE001 - whatever the broker has, steps go on
            self._complain(error)
            self._disconnect()
        else:
            self._has_complained = False

    def _connect(self) -> Any:
        self._connection = self._app.connection_for_write()
        self._connection.ensure_connection(max_retries=1, interval_start=0)
        self._dispatcher = self._app.events.Dispatcher(
            self._connection,
            hostname=self._node,
            buffer_while_offline=False,
            buffer_group=BUFFERED,
            buffer_limit=EVENTS_A_MESSAGE,
        )
        return self._dispatcher

    def _disconnect(self) -> None:
        connection, self._connection, self._dispatcher = self._connection, None, None
        try:
            if connection is not None:
                connection.close()
        except Exception:
            logger.debug("closing a broken connection", exc_info=True)

    def _complain(self, error: Exception) -> None:
        """Say it once; again only after something could be sent."""
        if not self._has_complained:
            logger.warning("events for Flower are dropped: %s: %s", type(error).__name__, error)
        self._has_complained = True
