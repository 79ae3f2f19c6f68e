"""What one process holds of a site, each part made when it is first needed."""

from functools import cached_property

from config.settings import Settings
from producer.inbox import Inbox
from producer.publish import Publisher, make_site_app
from steps.ledger import Ledger


class Connections:
    """What one process holds of a site: ledger, publisher and inbox, each made when it is first needed.

    Args:
        settings: the site's.
        redis_url: its Redis.
    """

    def __init__(self, settings: Settings, redis_url: str) -> None:
        self._settings = settings
        self._redis_url = redis_url

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, over a pool of connections; asked once whether its Redis will do."""
        ledger = Ledger(self._settings, url=self._redis_url)
        ledger.check_server()
        return ledger

    @cached_property
    def publisher(self) -> Publisher:
        """What sends parcels."""
        return Publisher(make_site_app(self._settings, self._redis_url))

    @cached_property
    def inbox(self) -> Inbox:
        """Where completion notices arrive."""
        return Inbox(
            ledger=self.ledger,
            settings=self._settings,
            url=self._redis_url,
            take_marks=self.publisher.take_marks,
        )

    def close(self) -> None:
        """Let go of what was made."""
        for name in ("inbox", "publisher", "ledger"):
            if (made := self.__dict__.pop(name, None)) is not None:
                made.close()
