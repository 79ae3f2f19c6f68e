"""One Redis client a channel, on an undocumented hook of kombu's that must keep its form."""

import inspect
from types import SimpleNamespace
from typing import Any

import pytest
from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.transport import redis as redis_transport
from redis.exceptions import ConnectionError as LostConnection

from config.broker_client import NotInTime
from config.broker_connection import FIRST_WAIT_S, LONGEST_WAIT_S, WAIT_STEP_S
from config.celery_app import make_app
from config.settings import Settings

URL = "redis+socket:///nowhere.sock?virtual_host=0"


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A pooled connection's channel that was never connected."""
    app = make_app(Settings(), broker_url=URL)
    connection = app.pool.new()
    channel_type = connection.get_transport_cls().Channel
    channel = channel_type.__new__(channel_type)
    channel.connection = _Transport(connection)
    made: list[object] = []
    monkeypatch.setattr(channel_type, "pool", "pool one", raising=False)
    monkeypatch.setattr(channel_type, "_create_client", lambda self: made.append(self) or _Client(self.pool))
    yield channel
    channel._closed = True


class _Transport:
    """What a channel takes for its connection; it knows kombu's own until that was closed."""

    def __init__(self, client: object) -> None:
        self.client = client


class _Client:
    def __init__(self, pool: object) -> None:
        self.connection_pool = pool


def test_the_hook_of_kombu_still_has_the_form_that_is_overridden() -> None:
    source = inspect.getsource(redis_transport.Channel.conn_or_acquire)
    assert "def conn_or_acquire(self, client=None):" in source
    assert "yield client" in source
    assert "yield self._create_client()" in source


def test_plain_and_pooled_connections_keep_a_client_a_channel() -> None:
    app = make_app(Settings(), broker_url=URL)
    for connection in (app.connection_for_write(), app.connection_for_read(), app.pool.new()):
        channel_type = connection.get_transport_cls().Channel
        assert issubclass(channel_type, redis_transport.Channel)
        assert channel_type is not redis_transport.Channel


def test_another_broker_keeps_its_own_transport() -> None:
    app = make_app(Settings(), broker_url="memory://")
    assert not issubclass(app.connection_for_write().get_transport_cls(), redis_transport.Transport)


def test_a_channel_uses_the_same_client_until_its_pool_is_replaced(
    channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
        assert first is second
    monkeypatch.setattr(type(channel), "pool", "pool two", raising=False)
    with channel.conn_or_acquire() as third:
        assert third is not first
    with channel.conn_or_acquire(first) as given:
        assert given is first


def test_a_channel_whose_connection_was_closed_says_so_in_a_way_that_celery_expects(channel: Any) -> None:
    channel.connection.client = None
    with pytest.raises(ConnectionError, match="was closed"), channel.conn_or_acquire():
        pass
    assert issubclass(ConnectionError, redis_transport.Transport.connection_errors)


def test_each_connection_tries_again_at_a_pace_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(Connection, "_ensure_connection", lambda _, *__, **options: asked.append(options))
    app = make_app(Settings(), broker_url=URL)
    for _ in range(20):
        app.connection_for_read().ensure_connection(print, None)
        app.pool.new().ensure_connection()
    names = {"interval_start": FIRST_WAIT_S, "interval_step": WAIT_STEP_S, "interval_max": LONGEST_WAIT_S}
    for name, most_s in names.items():
        found = [options[name] for options in asked]
        assert len(set(found)) > 20
        assert most_s / 2 <= min(found) <= max(found) <= most_s
    app.connection_for_read().ensure_connection(max_retries=1, interval_start=0)
    assert asked[-1]["interval_start"] == 0


def test_a_pace_that_is_named_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(Connection, "_ensure_connection", lambda _, *given, **options: asked.append((given, options)))
    connection = make_app(Settings(), broker_url=URL).connection_for_read()
    connection.ensure_connection(print, 2, 0, 0.2, 0.5, reraise_as_library_errors=False)
    assert asked == [((print, 2, 0, 0.2, 0.5), {"reraise_as_library_errors": False})]


@pytest.mark.parametrize(("error", "tries"), [(NotInTime("late"), 1), (LostConnection("cut"), 2)])
def test_a_publish_is_tried_again_where_its_connection_was_lost_and_not_where_it_was_late(
    error: Exception, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    connection = make_app(Settings(), broker_url=URL).pool.new()
    monkeypatch.setattr(type(connection), "_ensure_connection", lambda *_, **__: None)
    monkeypatch.setattr(type(connection), "default_channel", None)
    monkeypatch.setattr(type(connection), "collapse", lambda *_: None, raising=False)

    def publish() -> None:
        asked.append(1)
        raise error

    with pytest.raises(OperationalError, match=str(error)):
        connection.ensure(SimpleNamespace(revive=lambda _: None), publish, max_retries=2)()
    assert len(asked) == tries
