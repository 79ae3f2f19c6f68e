"""Where the broker is and how to talk to it: URLs and transport options in the words of kombu."""

import ssl
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from config.priorities import MESSAGE_PRIORITIES
from config.settings import Settings

REDIS_TRANSPORTS: Final = ("redis", "rediss", "redis+socket")


def broker_url_of(redis_url: str) -> str:
    """Return kombu's URL for a Redis URL: same server, same database, same credentials.

    ``unix:///run/redis.sock?db=1`` becomes ``redis+socket:///run/redis.sock?virtual_host=1``. Of the query
    only what concerns TLS is kept, because kombu takes every other name for an argument of its own.
    """
    parts = urlsplit(redis_url)
    query = dict(parse_qsl(parts.query))
    database = query.pop("db", "")
    if parts.scheme == "unix":
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={database or 0}"
    options = {key: value for key, value in query.items() if key.startswith("ssl_")}
    path = f"/{database}" if database else parts.path
    return urlunsplit((parts.scheme, parts.netloc, path, urlencode(options), ""))


def is_redis(broker_url: str) -> bool:
    """Return whether the broker is a Redis."""
    return urlsplit(broker_url).scheme in REDIS_TRANSPORTS


def broker_prefix(settings: Settings) -> str:
    """Return what every key of the broker starts with, so that two sites can share one Redis database."""
    return f"{settings.key_prefix}:broker:"


def transport_options(settings: Settings, broker_url: str) -> dict[str, object]:
    """Return kombu's options: every wait ends within the time-outs, no key is shared with another site."""
    if not is_redis(broker_url):
        return {}
    return {
        "global_keyprefix": broker_prefix(settings),
        "priority_steps": MESSAGE_PRIORITIES,
        "ack_emulation": False,  # what a worker took it tells the ledger; kombu's notes cost two exchanges a message
        "socket_connect_timeout": settings.connect_timeout_s,
        "socket_timeout": settings.socket_timeout_s,
        "socket_keepalive": True,
        "retry_on_timeout": False,  # or the time-out is waited for twice
    }


def tls_options(broker_url: str) -> dict[str, object] | None:
    """Return what to check of a TLS server, or None without TLS.

    Kombu checks nothing when a ``rediss://`` URL says nothing. The ledger's connection checks certificates,
    so this one does too. A URL that says ``ssl_cert_reqs`` is obeyed.
    """
    parts = urlsplit(broker_url)
    if parts.scheme != "rediss" or "ssl_cert_reqs" in dict(parse_qsl(parts.query)):
        return None
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED}
