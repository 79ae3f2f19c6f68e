"""The broker: its URL is the ledger's in kombu's words, and no wait for it is without an end."""

import ssl
import time

import kombu
import pytest
import redis
from celery import current_app
from celery.backends.base import DisabledBackend
from kombu.exceptions import OperationalError

from config.broker import broker_url_of
from config.celery_app import make_app
from config.queues import kombu_queues
from config.settings import Settings

NOWHERE = "redis+socket:///nowhere/redis.sock"


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("redis://db", 0),
        ("redis://db:6380/3", 3),
        ("redis://db:6380?db=3", 3),
        ("redis://db:6380/3?socket_timeout=1", 3),
        ("unix:///run/my.sock", 0),
        ("unix:///run/my.sock?db=2", 2),
        ("unix://me:s%40cret@/run/my.sock?db=2", 2),
        ("redis://me:s%40cret@db/1", 1),
    ],
)
def test_the_broker_is_the_same_server_database_and_user_as_the_ledger(url: str, database: int) -> None:
    ledger = redis.ConnectionPool.from_url(url).connection_kwargs
    with kombu.Connection(broker_url_of(url)) as connection:
        channel = connection.transport.Channel.__new__(connection.transport.Channel)
        channel.connection = connection.transport
        broker = channel._connparams()
    assert broker["db"] == database == ledger.get("db", 0)
    for key in ("username", "password", "path", "host"):
        assert broker.get(key) == ledger.get(key)
    if "path" not in ledger:
        assert broker["port"] == ledger.get("port", 6379)


def test_a_tls_server_is_checked_unless_the_url_says_otherwise() -> None:
    settings = Settings()
    app = make_app(settings, broker_url=broker_url_of("rediss://db"))
    assert app.connection_for_write().ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    unchecked = make_app(settings, broker_url=broker_url_of("rediss://db?ssl_cert_reqs=required&ssl_ca_certs=/ca"))
    assert unchecked.connection_for_write().ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/ca"}


def test_the_queues_of_the_settings_are_direct_kombu_queues() -> None:
    queues = kombu_queues(Settings())
    assert [(queue.name, queue.exchange.name, queue.exchange.type, queue.routing_key) for queue in queues] == [
        ("critical", "critical", "direct", "critical"),
        ("parallel", "parallel", "direct", "parallel"),
    ]


def test_a_variable_of_celery_does_not_change_the_broker_or_the_backend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("BROKER_URL", "BROKER_READ_URL", "BROKER_WRITE_URL", "RESULT_BACKEND"):
        monkeypatch.setenv(f"CELERY_{name}", "redis://stray/5")
    app = make_app(Settings(), broker_url=NOWHERE)
    for connection in (
        app.connection(),
        app.connection_for_read(),
        app.connection_for_write(),
        app.pool.connection,
    ):
        assert connection.as_uri() == NOWHERE
    assert type(app.backend).__name__ == "DisabledBackend"


def test_the_app_speaks_json_only_acknowledges_late_and_fetches_one() -> None:
    conf = make_app(Settings(), broker_url=NOWHERE).conf
    assert conf.accept_content == conf.result_accept_content == ["json"]
    assert (conf.task_serializer, conf.result_serializer) == ("json", "json")
    assert conf.task_acks_late is True
    assert not conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1
    assert conf.task_ignore_result is True
    assert conf.task_time_limit is conf.task_soft_time_limit is None
    assert conf.task_default_queue == "critical"
    assert conf.task_create_missing_queues is False


def test_the_settings_reach_the_app() -> None:
    settings = Settings(
        connect_timeout_s=0.5,
        socket_timeout_s=0.7,
        publish_retries=0,
        key_prefix="other",
        max_tasks_per_child=11,
        max_memory_per_child_kib=12,
    )
    conf = make_app(settings, broker_url=NOWHERE).conf
    options = conf.broker_transport_options
    assert (options["socket_connect_timeout"], options["socket_timeout"]) == (0.5, 0.7)
    assert (options["global_keyprefix"], options["ack_emulation"]) == ("other:broker:", False)
    assert (options["priority_steps"], options["retry_on_timeout"]) == ([0, 1], False)
    assert (conf.broker_connection_timeout, conf.broker_pool_acquire_timeout) == (0.5, 0.7)
    assert (conf.redis_socket_connect_timeout, conf.redis_socket_timeout) == (0.5, 0.7)
    assert (conf.task_publish_retry, conf.task_publish_retry_policy["max_retries"]) == (False, 0)
    assert (conf.worker_max_tasks_per_child, conf.worker_max_memory_per_child) == (11, 12)


def test_another_broker_gets_no_options_of_redis() -> None:
    app = make_app(Settings(), broker_url="amqp://guest@mq//")
    assert app.conf.broker_transport_options == {}
    assert app.connection_for_write().transport_cls in {"amqp", "pyamqp", "librabbitmq"}


def test_a_backend_of_ours_can_be_handed_in() -> None:
    class Backend(DisabledBackend):
        pass

    app = make_app(Settings(), broker_url=NOWHERE, backend=Backend)
    assert type(app.backend) is Backend


def test_without_a_backend_a_chord_is_refused_rather_than_lost() -> None:
    with pytest.raises(NotImplementedError, match="result backend"):
        make_app(Settings(), broker_url=NOWHERE).backend.ensure_chords_allowed()


def test_publishing_without_a_broker_ends_in_an_error_soon() -> None:
    app = make_app(Settings(), broker_url=NOWHERE)
    begun = time.monotonic()
    with pytest.raises(OperationalError):
        app.send_task("any", queue="parallel")
    assert time.monotonic() - begun < 5


def test_the_app_of_a_host_program_stays_the_current_one() -> None:
    before = current_app._get_current_object()
    made = make_app(Settings(), broker_url=NOWHERE)
    assert current_app._get_current_object() is before
    assert made is not before
