"""What one process holds of a site, each part made when it is first needed."""

import threading

from config.settings import Settings
from producer.control import Control
from producer.inbox import Inbox
from producer.overview import Overview
from producer.publish import Publisher, make_site_app
from steps.ledger import Ledger


class Connections:
    """What one process holds of a site: ledger, publisher and inbox; a forked child makes its own.

    Args:
        settings: The site's.
        redis_url: Its Redis.
    """

    def __init__(self, settings: Settings, redis_url: str) -> None:
        self._settings = settings
        self._redis_url = redis_url
        self._lock = threading.RLock()  # the inbox needs the ledger and the publisher
        self._ledger: Ledger | None = None
        self._publisher: Publisher | None = None
        self._inbox: Inbox | None = None

    @property
    def ledger(self) -> Ledger:
        """The ledger, over a pool of connections; asked once whether its Redis will do."""
        with self._lock:
            if self._ledger is not None:
                return self._ledger
        # Not under the lock: where Redis does not answer, each caller waits its own time and not that of others too.
        ledger = Ledger(self._settings, url=self._redis_url)
        ledger.site.check_server()
        with self._lock:
            if self._ledger is None:
                self._ledger = ledger
            return self._ledger

    @property
    def publisher(self) -> Publisher:
        """What sends parcels."""
        with self._lock:
            if self._publisher is None:
                self._publisher = Publisher(make_site_app(self._settings, self._redis_url))
            return self._publisher

    @property
    def inbox(self) -> Inbox:
        """Where completion notices arrive."""
        ledger = self.ledger
        with self._lock:
            if self._inbox is None:
                self._inbox = Inbox(
                    ledger=ledger,
                    settings=self._settings,
                    url=self._redis_url,
                    take_marks=self.publisher.take_marks,
                )
            return self._inbox

    @property
    def overview(self) -> Overview:
        """What tells of the site."""
        return Overview(self.ledger, self._settings)

    @property
    def control(self) -> Control:
        """What changes that which was submitted."""
        return Control(self.ledger, self.publisher, self._settings)

    def close(self) -> None:
        """Let go of what was made."""
        with self._lock:
            made = (self._inbox, self._publisher, self._ledger)
            self._inbox = self._publisher = self._ledger = None
        for one in made:
            if one is not None:
                one.close()

    def renew_after_fork(self) -> None:
        """Forget what was made: it is the parent's, and its locks may be held for ever."""
        self._lock = threading.RLock()
        self._ledger = self._publisher = self._inbox = None
