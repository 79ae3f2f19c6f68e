"""Flower itself, as a process of its own: ``python -m producer.launcher.flower_program``, started by `flower_process`.

Flower's own command is not used: it reads ``FLOWER_*`` variables, a ``flowerconfig.py`` of the working folder, and
would show a password that is given to it to everybody who lists processes.
"""

import logging
import os
import signal
import sys
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from flower.app import Flower  # type: ignore[import-untyped]
from flower.options import options  # type: ignore[import-untyped]
from flower.urls import settings as pages  # type: ignore[import-untyped]
from flower.utils import broker as queue_lengths  # type: ignore[import-untyped]
from tornado.ioloop import IOLoop

from config.errors import SettingsError, SteplineError
from config.settings import Settings, load_settings
from producer.launcher.flower_process import (
    FOREIGN_VARIABLES,
    PORT_TAKEN_EXIT,
    flower_url,
    is_port_taken,
    refuse_exposed,
    taken_text,
)
from producer.publish import make_site_app

BAD_USAGE: Final = 2

COLUMNS: Final = "name,args,state,received,runtime,retries,result,worker"
"""Of the page of tasks: a step's arguments are its run and its id."""

GONE_AFTER_S: Final = 60
"""Workers that ended are listed so long: each start of a worker has a name of its own."""

logger = logging.getLogger(__name__)


def main() -> int:
    """Serve Flower until told to stop; returns the exit code."""
    for name in [name for name in os.environ if name.startswith(FOREIGN_VARIABLES)]:
        del os.environ[name]
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)-7s [%(process)d] flower: %(message)s")
    try:
        settings = load_settings()
        if settings.redis_url is None:
            raise SettingsError("STEPLINE_REDIS_URL is not set: Flower joins a Redis, `stepline up` starts one")
        refuse_exposed(settings)
        return _serve(settings, make_site_app(settings, settings.redis_url))
    except SteplineError as error:
        sys.stderr.write(f"flower: {error}\n")
        return BAD_USAGE


def _serve(settings: Settings, app: Any) -> int:
    app.set_default()  # some of Flower's pages ask for Celery's current app, which must not be a made-up one
    _set_options(settings)
    queue_lengths.RedisSocket = SocketBroker
    loop = IOLoop.current()
    flower = Flower(capp=app, options=options, io_loop=loop, **pages)
    if is_port_taken(settings):
        sys.stderr.write(f"flower: {taken_text(settings)}\n")
        return PORT_TAKEN_EXIT
    flower.start_http_server()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.add_callback_from_signal(loop.stop))
    logger.warning("is at %s", flower_url(settings))
    # Flower by itself asks for events only after five seconds.
    loop.add_callback(flower.events.on_enable_events)
    flower.start()
    return 0


def _set_options(settings: Settings) -> None:
    options.address = settings.flower_address
    options.port = settings.flower_port
    options.basic_auth = [settings.flower_basic_auth] if settings.flower_basic_auth else []
    options.max_tasks = settings.flower_max_tasks
    options.tasks_columns = COLUMNS
    options.purge_offline_workers = GONE_AFTER_S
    access = logging.getLogger("tornado.access")
    access.setLevel(logging.ERROR)


class SocketBroker(queue_lengths.RedisSocket):  # type: ignore[misc]
    """Asks a Redis behind a unix socket for the lengths of queues; Flower's own takes neither path nor database right.

    It would leave the escapes of a URL in the path, and look into database 0 always.
    """

    def __init__(self, broker_url: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(broker_url, *args, **kwargs)
        parts = urlsplit(broker_url)
        database = int(dict(parse_qsl(parts.query)).get("virtual_host", 0))
        self.redis.connection_pool.connection_kwargs |= {
            "path": unquote(parts.path),
            "db": database,
            "username": self.username,
        }


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # its threads may wait for answers of workers for a while; nothing of theirs is to be kept
