"""A real Redis for the tests of a module, and a site's parts on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from config.broker import broker_prefix
from config.priorities import NORMAL
from config.settings import Settings
from producer.publish import Publisher, make_site_app
from steps.ledger import Ledger
from tests.support.ledgers import fast_settings, running_server, server_programs

PRIORITY_SEPARATOR = "\x06\x16"
"""What kombu writes between the name of a queue and a priority other than the first."""


class RealSite:
    """A Redis server that is there, and connections to it.

    Args:
        url: of the server.
        settings: changes to the settings.
    """

    def __init__(self, url: str, **settings: Any) -> None:
        self.url = url
        self.settings: Settings = fast_settings(redis_url=url, **settings)
        self.client = redis.Redis.from_url(url)
        self.ledger = Ledger(self.settings, url=url)
        self.publisher = Publisher(make_site_app(self.settings, url))

    def messages(self, queue: str) -> int:
        """Return how many messages of the usual priority wait in a queue."""
        return int(self.client.llen(self.queue_key(queue)))

    def queue_key(self, queue: str, priority: int = NORMAL) -> str:
        """Return the Redis list in which the broker keeps the messages of a queue that have a priority."""
        level = f"{PRIORITY_SEPARATOR}{priority}" if priority else ""
        return f"{broker_prefix(self.settings)}{queue}{level}"

    def close(self) -> None:
        self.publisher.close()
        self.ledger.close()
        self.client.close()


@contextmanager
def real_site(url: str, **settings: Any) -> Iterator[RealSite]:
    """Yield a site on an emptied server."""
    site = RealSite(url, **settings)
    site.client.flushall()
    try:
        yield site
    finally:
        site.close()


def newest_server() -> Iterator[str]:
    """Run the system's server, or the bundled one where there is none; yields its URL. For fixtures."""
    programs = server_programs()
    with running_server(programs.get("system") or programs["redis 6.2"]) as url:
        yield url
