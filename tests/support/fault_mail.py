"""Messages put into a site's queues past everything that publishes, and what became of them."""

import json
import secrets
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import redis

from config.broker import broker_prefix
from steps.ledger.dead_letter import KEPT_BYTES, DeadLetter
from steps.ledger.keys import dead_letters_key
from tests.support.fault_sites import FaultSite
from tests.support.processes import wait_until


class FaultMail:
    """The queues of a site and its dead letters.

    Args:
        site: Whose.
    """

    def __init__(self, site: FaultSite) -> None:
        self._site = site
        self._prefix = broker_prefix(site.settings)

    def push(self, queue: str, *raw: bytes) -> None:
        """Put messages into a queue, as they are."""
        client = redis.Redis.from_url(self._site.redis.url)
        client.lpush(f"{self._prefix}{queue}", *raw)
        client.close()

    def take_letters(self, queue: str) -> Sequence[DeadLetter]:
        """Wait until all that was pushed was read; returns what was set aside, the oldest first, and forgets it."""
        last = secrets.token_bytes(8)
        self.push(queue, last)
        wait_until(lambda: [letter.raw for letter in self._site.ledger.site.dead_letters(1)] == [last], 30)
        letters = self._site.ledger.site.dead_letters()
        self._site.redis.client.delete(dead_letters_key(self._site.settings.key_prefix))
        return letters[:0:-1]

    def is_empty(self) -> bool:
        """Whether all was taken from the queues: a worker takes no more than it may leave unacknowledged."""
        names = ("critical", "parallel")
        return not self._site.redis.client.exists(*[f"{self._prefix}{name}" for name in names])


def unreadable(frames: Sequence[bytes]) -> Counter[bytes]:
    """Return what dead letters keep of those frames that are no JSON object, which are broken whatever else holds."""
    return Counter(raw[:KEPT_BYTES] for raw in frames if not _is_object(raw))


def _is_object(raw: bytes) -> bool:
    with suppress(ValueError, RecursionError):
        return isinstance(json.loads(raw.decode("utf-8")), dict)
    return False
