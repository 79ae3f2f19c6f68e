"""Sends parcels to the broker: one by apply_async, several as a group, a run with a completion body as a chord."""

import logging
import re
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from celery import Celery, Signature, chord, group
from kombu.exceptions import OperationalError

from config.broker import broker_url_of
from config.celery_app import make_app
from config.priorities import LAST, message_priority
from config.settings import Settings
from producer.ledger_backend import LedgerBackend
from steps.ledger.records import Ready

logger = logging.getLogger(__name__)

PARCEL_TASK: Final = "stepline.parcel"
"""The one Celery task: its arguments are a run id and the number of a parcel."""

PROBE_RUN: Final = re.compile(r"probe\.(\d{1,20})")
"""What a probe says in place of a run's id. A worker that knows of no probes finds no such run, and drops it."""

MARKS_KEPT: Final = 1_000
"""Marks of published parcels that wait for the next call; one that is dropped costs a second message at most."""


def make_site_app(settings: Settings, redis_url: str) -> Celery:
    """Return the Celery app of a site whose ledger is at ``redis_url``."""
    broker_url = settings.broker_url or broker_url_of(redis_url)
    return make_app(settings, broker_url=broker_url, backend=LedgerBackend)


def probe_of(run_id: str) -> int | None:
    """Return which probe a message about this run is; None where it is none."""
    found = PROBE_RUN.fullmatch(run_id)
    return None if found is None else int(found[1])


class Publisher:
    """Publishes what the ledger says is ready; usable from many threads.

    Args:
        app: The site's Celery app.

    A parcel that could not be published is not lost: it stays unmarked in the ledger, and a keeper publishes it.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._marks: deque[tuple[str, int]] = deque(maxlen=MARKS_KEPT)
        self._lock = threading.Lock()

    def publish(self, ready: Sequence[Ready], *, body: tuple[str, int] | None = None) -> bool:
        """Send every parcel's copies; returns False where the broker did not take them.

        Args:
            ready: What to publish.
            body: Run id and parcel of the completion body, where the run has one.
        """
        messages = [self._message(parcel) for parcel in ready for _ in range(parcel.copies)]
        if not messages:
            return True
        try:
            self._send(messages, body)
        except Exception as error:  # noqa: BLE001 - whatever it is, the ledger has the parcels and a keeper sends them
            logger.warning("%d parcels wait for a keeper to publish them: %s", len(messages), error)
            return False
        with self._lock:
            self._marks += [(parcel.run_id, parcel.parcel) for parcel in ready]
        return True

    def send_probe(self, queue: str, probe: int) -> None:
        """Send a message that comes out of ``queue`` after all that was published there before.

        One that the broker does not take is as good as lost: the ledger asks for another.
        """
        try:
            self._send([self._signature(f"probe.{probe}", 0, queue=queue, priority=LAST)], None)
        except Exception as error:  # noqa: BLE001 - as above
            logger.warning("a probe of queue %s was not sent: %s", queue, error)

    def _message(self, parcel: Ready) -> Signature[Any]:
        priority = message_priority(parcel.priority)
        return self._signature(parcel.run_id, parcel.parcel, queue=parcel.queue, priority=priority)

    def _signature(self, run_id: str, number: int, **options: Any) -> Signature[Any]:
        return self._app.signature(PARCEL_TASK, args=(run_id, number), immutable=True, **options)

    def _send(self, messages: list[Signature[Any]], body: tuple[str, int] | None) -> None:
        if body is not None:
            chord(messages, self._signature(*body), app=self._app).apply_async()
        elif len(messages) == 1:
            messages[0].apply_async()
        else:
            group(messages, app=self._app).apply_async()

    def take_marks(self) -> tuple[tuple[str, int], ...]:
        """Return, once, the parcels published since the last call, for the next call to the ledger to carry."""
        with self._lock:
            marks = tuple(self._marks)
            self._marks.clear()
        return marks

    def depth(self, queue: str) -> int | None:
        """Return how many messages wait in ``queue``; None where the broker does not say.

        A queue that is not there is empty.
        """
        with self._app.connection_for_read() as connection:
            # On Redis a queue that is declared is only looked at; asked passively, kombu finds none under a key prefix.
            is_passive = connection.transport.driver_type != "redis"
            try:
                connection.ensure_connection(max_retries=1, interval_start=0)
                return int(connection.default_channel.queue_declare(queue, passive=is_passive).message_count)
            except connection.channel_errors:
                return 0
            except (OperationalError, *connection.connection_errors):
                return None

    def close(self) -> None:
        """Let go of the broker connections."""
        self._app.pool.force_close_all()
