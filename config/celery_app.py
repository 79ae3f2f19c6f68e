"""Makes the Celery app: transport, pools and routing, and nothing that the ledger does better."""

from typing import Any, Final

from celery import Celery
from kombu.pools import ProducerPool

from config.broker import tls_options, transport_options
from config.broker_connection import BrokerConnection, BrokerPool
from config.queues import kombu_queues
from config.settings import Settings

APP_NAME: Final = "stepline"

PUBLISH_RETRY_STEP_S: Final = 0.2
PUBLISH_RETRY_MAX_S: Final = 0.5
"""The pause between two tries to publish; with the tries it stays well under the 5 s of a clear error."""

POOL_LIMIT: Final = 10
"""Connections to the broker that one process keeps for publishing."""


class _App(Celery):
    """An app whose broker is the one it was given, and whose connections are its own.

    With Celery's own way, a stray ``CELERY_BROKER_URL`` would win; and the pools of kombu are shared by all apps of a
    process, a forked one included, so that whoever closes them closes them for all.
    """

    broker: str
    _pool: Any = None
    _producers: Any = None

    @property
    def pool(self) -> Any:
        """The connections for publishing, made when they are first needed; Celery forgets them after its forks."""
        if self._pool is None:
            self._ensure_after_fork()
            self._pool = BrokerPool(self.connection_for_write(), limit=self.conf.broker_pool_limit)
        return self._pool

    @property
    def producer_pool(self) -> Any:
        """What publishes over these connections."""
        pool = self.pool
        if self._producers is None or self._producers.connections is not pool:
            self._producers = ProducerPool(pool, limit=pool.limit)
        return self._producers

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        return super().connection_for_read(url or self.broker, **options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        return super().connection_for_write(url or self.broker, **options)

    def connection(self, hostname: str | None = None, **options: Any) -> Any:
        return super().connection(hostname or self.broker, **options)


def make_app(settings: Settings, *, broker_url: str, backend: str | type | None = None) -> Celery:
    """Return the Celery app of a site; it is not made the current app, a host program may have its own.

    Args:
        settings: The site's.
        broker_url: In kombu's form, see `config.broker.broker_url_of`.
        backend: The result backend; by default none, because outcomes are in the ledger.
    """
    app = _App(APP_NAME, broker=broker_url, loader="app", set_as_current=False)
    app.broker = broker_url
    app.amqp.Connection = BrokerConnection
    app.backend_cls = backend or "disabled"  # said here, no variable of Celery's can change it
    app.conf.update(
        _messages(),
        **_broker(settings, broker_url),
        **_tasks(settings),
        **_workers(settings),
    )
    return app


def _messages() -> dict[str, object]:
    """JSON only: a message must not be able to run code."""
    return {
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
    }


def _broker(settings: Settings, broker_url: str) -> dict[str, object]:
    """Every wait has an end, except that of a worker for a broker that is down: it recovers by itself."""
    return {
        "broker_connection_timeout": settings.connect_timeout_s,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_limit": POOL_LIMIT,
        "broker_pool_acquire_timeout": settings.socket_timeout_s,
        "broker_transport_options": transport_options(settings, broker_url),
        "broker_use_ssl": tls_options(broker_url),
        "redis_socket_timeout": settings.socket_timeout_s,
        "redis_socket_connect_timeout": settings.connect_timeout_s,
        "task_publish_retry": settings.publish_retries > 0,
        "task_publish_retry_policy": {
            "max_retries": settings.publish_retries,
            "interval_start": 0,
            "interval_step": PUBLISH_RETRY_STEP_S,
            "interval_max": PUBLISH_RETRY_MAX_S,
        },
    }


def _tasks(settings: Settings) -> dict[str, object]:
    """Late acknowledgement, no results, no limits of Celery's own: fences and time-outs are the ledger's."""
    return {
        "task_queues": kombu_queues(settings),
        "task_default_queue": settings.critical_queue,  # what is routed nowhere must not run side by side
        "task_create_missing_queues": False,
        "task_acks_late": True,
        "task_reject_on_worker_lost": False,  # a rejected message would go behind its followers
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_track_started": False,
        "task_send_sent_event": False,
    }


def _workers(settings: Settings) -> dict[str, object]:
    """A worker fetches one parcel ahead at most, and leaves the host program's logging alone."""
    return {
        "worker_prefetch_multiplier": 1,
        "worker_disable_rate_limits": True,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_max_tasks_per_child": settings.max_tasks_per_child,
        "worker_max_memory_per_child": settings.max_memory_per_child_kib,
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # fences guard them
    }
