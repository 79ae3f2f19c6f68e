"""Kombu's connection to a Redis broker with one client a channel, instead of a new one for every broker operation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Connection
from kombu.connection import ConnectionPool, PooledConnection
from kombu.transport import redis as redis_transport


class _Channel(redis_transport.Channel):
    """Keeps its client: making one costs as much as the command it sends (measured with kombu 5.7 and redis-py 8.1).

    ``conn_or_acquire`` is no documented hook of kombu's, so a test holds it to the form that is overridden here.
    """

    _kept: Any = None

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        if client is None:
            if self._kept is None or self._kept.connection_pool is not self.pool:
                self._kept = self._create_client()
            client = self._kept
        yield client


class _Transport(redis_transport.Transport):
    Channel = _Channel


def _ours(found: Any) -> Any:
    return _Transport if found is redis_transport.Transport else found


class BrokerConnection(Connection):
    """A connection whose channels keep their client where the broker is a Redis."""

    def get_transport_cls(self) -> Any:
        """Return the transport of the URL, or ours in place of kombu's for Redis."""
        return _ours(super().get_transport_cls())


class _PooledConnection(PooledConnection):
    def get_transport_cls(self) -> Any:
        return _ours(super().get_transport_cls())


class BrokerPool(ConnectionPool):
    """A pool of such connections."""

    def new(self) -> Any:
        """Return another connection for the pool."""
        return _PooledConnection(self, **dict(self.connection._info(resolve=False)))
