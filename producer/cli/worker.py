"""``stepline worker``: becomes one worker of a site that is up."""

import argparse
import os
import sys
from typing import Final

from config.settings import Settings, load_settings
from producer.cli.failures import UsageError
from producer.launcher.embedded import find_site
from producer.launcher.site_errors import SiteError
from producer.launcher.worker_process import worker_arguments, worker_environment

DRAIN: Final = "--drain"


def execute(options: argparse.Namespace) -> int:
    """Replace this process by the worker (the worker is the outer part: nothing here imports it)."""
    settings = load_settings()
    queues = [queue.name for queue in settings.queues]
    if options.queue not in queues:
        raise UsageError(f"no queue is named {options.queue!r}; the queues are {', '.join(queues)}")
    environment = worker_environment(os.environ, url_of(settings))
    arguments = [*worker_arguments(options.queue), *([DRAIN] if options.drain else [])]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(arguments[0], arguments, environment)


def url_of(settings: Settings) -> str:
    """Return the Redis that a process joins: the one that is named, or that of the site that is up here.

    Raises:
        SiteError: There is neither.
    """
    url = settings.redis_url or find_site(settings)
    if url is None:
        raise SiteError(f"no site is up in {settings.data_dir}: start one with stepline up, or set STEPLINE_REDIS_URL")
    return url
