"""Kombu's connection to a Redis broker: one client a channel, and no frame reaches kombu that it could not take."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from json import JSONDecodeError
from random import uniform
from typing import Any, Final, TypeAlias

from kombu import Connection
from kombu.connection import ConnectionPool, PooledConnection
from kombu.exceptions import OperationalError
from kombu.transport import redis as redis_transport
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from config.broker_client import BrokerClient, NotInTime
from config.broker_frames import BrokenFrame, check_frame, check_text

logger = logging.getLogger(__name__)

OnBroken: TypeAlias = Callable[[str, bytes, str], object]
"""Takes what could not be read: where it was, what it was, why it could not be read."""

REMOTE_CONTROL: Final = "remote control"
"""In place of a queue's name, for what comes by the channel of remote controls."""

SHOWN_BYTES: Final = 200

FIRST_WAIT_S: Final = 0.1
WAIT_STEP_S: Final = 0.1
LONGEST_WAIT_S: Final = 1.0
"""Between two tries to connect; each connection draws its own, from half of these on. Kombu's own are 2, 4, 6 s and so
on: after the second one, a worker was deaf longer than a dead one is missed."""


class _Channel(redis_transport.Channel):
    """Keeps its client, and hands on only frames that have the form of a message.

    Making a client costs as much as the command it sends (measured with kombu 5.7 and redis-py 8.1). A frame has left
    its queue before it is decoded, and an error in decoding would end the process: a broken one is given to
    ``on_broken`` of the connection and was never there for kombu, so there is nothing of it to acknowledge.

    What is overridden are no documented hooks of kombu's, so tests hold them to the form that they have there.
    """

    _kept: Any = None

    def _get_client(self) -> Any:
        super()._get_client()  # refuses versions of the client library that it does not know
        return partial(BrokerClient, global_keyprefix=self.global_keyprefix)

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        if client is None and self.connection.client is None:
            # Celery closes a lost connection twice. The second time kombu wants to put back what was not acknowledged,
            # over a connection that it has forgotten: an error that Celery does not expect, and that ended the worker.
            raise ConnectionError("the connection of this channel was closed")
        if client is None:
            if self._kept is None or self._kept.connection_pool is not self.pool:
                self._kept = self._create_client()
            client = self._kept
        yield client

    def _brpop_read(self, **options: Any) -> bool:
        try:
            try:
                found = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            if not found:
                raise redis_transport.Empty
            name, raw = found
            queue = bytes_to_str(name).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            frame = self._read(queue, raw)
            if frame is not None:
                self.connection._deliver(frame, queue)
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _handle_message(self, client: Any, r: Any) -> dict[str, Any]:
        """Look at a frame of remote control; kombu passes over one without data."""
        told: dict[str, Any] = super()._handle_message(client, r)
        if bytes_to_str(told["type"]).endswith("message") and self._read(REMOTE_CONTROL, told["data"]) is None:
            told["data"] = None
        return told

    def _read(self, source: str, raw: bytes) -> dict[str, Any] | None:
        try:
            return _frame_of(raw)
        except BrokenFrame as error:
            self.connection.client.on_broken(source, raw, str(error))
            return None


def _frame_of(raw: bytes) -> dict[str, Any]:
    text = check_text(raw)
    try:
        frame = loads(text)
    except JSONDecodeError:
        raise BrokenFrame("it is no JSON, or it was cut short") from None
    except Exception:  # noqa: BLE001 - kombu turns values of marked types into objects, each with errors of its own
        raise BrokenFrame("it holds a value of a type that is not known here") from None
    return check_frame(frame)


def _drop(source: str, raw: bytes, reason: str) -> None:
    logger.warning("dropped a message of %s: %s: %r", source, reason, raw[:SHOWN_BYTES])


class _Transport(redis_transport.Transport):
    Channel = _Channel


def _ours(found: Any) -> Any:
    return _Transport if found is redis_transport.Transport else found


class _Ours:
    """What plain and pooled connections have in common."""

    on_broken: OnBroken = staticmethod(_drop)

    def get_transport_cls(self) -> Any:
        """Return the transport of the URL, or ours in place of kombu's for Redis."""
        return _ours(super().get_transport_cls())  # type: ignore[misc]

    def _ensure_connection(self, errback: Any = None, max_retries: Any = None, *pace: Any, **options: Any) -> Any:
        """Connect, trying again at a pace of its own where the caller names none.

        Kombu's is 2 s, 4 s and so on up to 30 s, the same for all: whoever lost a broker at the same moment would come
        back to it at the same moment, and late.
        """
        options = options if pace else {**_pace(), **options}
        return super()._ensure_connection(errback, max_retries, *pace, **options)  # type: ignore[misc]


def _pace() -> dict[str, float]:
    first_s, step_s, longest_s = (
        uniform(limit_s / 2, limit_s) for limit_s in (FIRST_WAIT_S, WAIT_STEP_S, LONGEST_WAIT_S)
    )
    return {"interval_start": first_s, "interval_step": step_s, "interval_max": longest_s}


class BrokerConnection(_Ours, Connection):
    """A connection whose channels, where the broker is a Redis, keep their client and read only sound frames."""


class _PooledConnection(_Ours, PooledConnection):
    def ensure(self, obj: Any, fun: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Return ``fun`` so that it is tried again on a new connection where the old one was lost.

        What was not answered in time is not tried again: the time-out is the whole time that a publisher is to wait,
        and a second message would be one too many if the first one arrived.
        """

        @wraps(fun)
        def once_in_time(*given: Any, **named: Any) -> Any:
            try:
                return fun(*given, **named)
            except NotInTime as error:
                raise OperationalError(str(error)) from error

        return super().ensure(obj, once_in_time, *args, **options)


class BrokerPool(ConnectionPool):
    """A pool of such connections."""

    def new(self) -> Any:
        """Return another connection for the pool."""
        return _PooledConnection(self, **dict(self.connection._info(resolve=False)))
