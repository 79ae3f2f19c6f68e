"""The app and the tasks of the plain Celery peer; its worker imports this module."""

import os
from collections.abc import Iterable
from typing import Any, Final

from celery import Celery

from bench.sleeping import sleep
from config.broker import broker_url_of
from producer.launcher.worker_process import REDIS_VARIABLE

QUEUE: Final = "bench"
CONCURRENCY: Final = 20
PREFETCH: Final = 4

_url: Final = broker_url_of(os.environ[REDIS_VARIABLE])

app: Final = Celery("bench", broker=_url, backend=_url, set_as_current=False)
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    result_serializer="json",
    task_default_queue=QUEUE,
    task_track_started=False,
    worker_disable_rate_limits=True,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    worker_prefetch_multiplier=PREFETCH,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)


def _sleep_after(before: object, ms: int) -> int:
    return sleep(ms)


sleep_task: Final = app.task(name="bench.sleep")(sleep)
sleep_after_task: Final = app.task(name="bench.sleep_after")(_sleep_after)
"""One that follows another in a chain, which hands it the result of the one before."""


def worker_arguments() -> list[str]:
    """Return the arguments of ``celery`` that start the worker, without all that costs and isn't needed here."""
    options: Iterable[Any] = ("--pool", "threads", "--concurrency", CONCURRENCY, "--queues", QUEUE, "-O", "fair")
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")
    return ["--app", f"{__name__}:app", "worker", *map(str, options), *quiet]
