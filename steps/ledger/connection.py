"""The one place where Python speaks to Redis: scripts by name, time-outs on every call, our own errors."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from config.settings import Settings
from steps.errors import BrokerUnavailable, NoAnswer
from steps.ledger.scripts import SCRIPTS, Script

logger = logging.getLogger(__name__)

RETRIES: Final = 2
"""Tries after the first of a call whose connection failed; every script is safe to repeat.

One that was not answered in time is not tried again: the time-out is the whole time that a caller is to wait."""

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 0.5

CONNECTING: Final = "connecting to"
NOT_SENT: Final = (CONNECTING, "max number of clients reached")
"""What errors say, of the client library or of a server that lets nobody in, after which no command was sent."""

MAY_HAVE_ACTED: Final = "may_have_acted"
"""The attribute by which an error tells that one of several tries was sent."""

CONFIG_ASKED: Final = ("appendonly", "appendfsync", "save", "maxmemory", "maxmemory-policy")
"""What a doctor wants to know of a server."""

NO_FUNCTIONS: Final = ("unknown command", "no permissions")
"""In the answer of a server older than Redis 7, or of one that does not let us: scripts are evaluated then."""

UNKNOWN_FUNCTION: Final = "Function not found"
LOADED_MEANWHILE: Final = "already exists"

NO_WRITES: Final = ("MISCONF", "NOREPLICAS", "BUSY ")
"""How the replies begin of a server that cannot keep what it is told: its disk is full, its replicas are away, or
somebody's script takes long."""

CONNECTIONS: Final = 10_000
"""As many as a server lets in unless it is told otherwise: a client that has a hundred threads waits for nobody."""

RedisArgument: TypeAlias = str | int | bytes


def connect(settings: Settings, url: str) -> "redis.Redis":
    """Return a client for ``url`` (redis://, rediss:// or unix://) that never waits without a limit."""
    pauses = ExponentialWithJitterBackoff(base=FIRST_PAUSE_S, cap=LONGEST_PAUSE_S)
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=settings.connect_timeout_s,
        socket_timeout=settings.socket_timeout_s,
        retry=Tries(pauses, RETRIES, supported_errors=(redis.ConnectionError,)),
        redis_connect_func=_greet,
        max_connections=CONNECTIONS,
        health_check_interval=0,
    )


def without_password(url: str) -> str:
    """Return a URL as it may be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _greet(connection: Any) -> None:
    """Say hello on a new connection, and of what fails in that, that it did: the caller's command was not sent."""
    try:
        connection.on_connect()
    except (redis.ConnectionError, redis.TimeoutError) as error:
        error.args = (f"while {CONNECTING} it: {error}",)
        raise


def _may_have_acted(error: Exception) -> bool:
    """Whether the command may have been carried out: it was sent, and no reply says that it was refused."""
    if getattr(error, MAY_HAVE_ACTED, False):
        return True
    if isinstance(error, redis.BusyLoadingError | redis.MaxConnectionsError):
        return False
    return all(word not in str(error).lower() for word in NOT_SENT)


def _takes_no_writes(error: redis.ResponseError) -> bool:
    """Whether nothing was done, and another try is worth it once somebody has made room, or a primary of the server."""
    return isinstance(error, redis.OutOfMemoryError | redis.ReadOnlyError) or str(error).startswith(NO_WRITES)


class Tries(Retry):
    """Tries a call again, and remembers of its last error whether one of the tries may have been carried out."""

    def call_with_retry(self, do: Any, fail: Any, *arguments: Any, **options: Any) -> Any:
        """Call ``do`` until it succeeds or there are no tries left."""
        doubtful = False

        def failed(error: Exception, *more: Any) -> None:
            nonlocal doubtful
            doubtful = doubtful or _may_have_acted(error)
            fail(error, *more)

        try:
            return super().call_with_retry(do, failed, *arguments, **options)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            setattr(error, MAY_HAVE_ACTED, doubtful or _may_have_acted(error))
            raise


@contextmanager
def in_our_words(url: str) -> Iterator[None]:
    """Turn the client library's connection errors into `BrokerUnavailable`, or `NoAnswer` where it may have acted."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        kind = NoAnswer if _may_have_acted(error) else BrokerUnavailable
        raise kind(f"Redis at {without_password(url)} does not answer: {error}") from error
    except redis.ResponseError as error:
        if not _takes_no_writes(error):
            raise
        raise BrokerUnavailable(f"Redis at {without_password(url)} takes no writes: {error}") from error
    except redis.InvalidResponse as error:
        raise BrokerUnavailable(f"what answers at {without_password(url)} is no Redis: {error}") from error


def _score_of(entries: Sequence[Any]) -> float | None:
    """Return the score of the one entry that a ZRANGE with scores found; None where it found none."""
    if not entries:
        return None
    last = entries[-1]
    return float(last[1] if isinstance(last, tuple | list) else last)


class Scripts:
    """Runs the ledger's scripts on one Redis.

    Args:
        client: A redis-py client with bytes replies.
        url: Named in errors.
    """

    def __init__(self, client: "redis.Redis", *, url: str) -> None:
        self._client = client
        self._url = url
        self._has_functions = True  # until the server says otherwise

    def run(self, script: Script, *arguments: RedisArgument) -> Any:
        """Run ``script`` and return its reply as nested lists of bytes and ints.

        Raises:
            BrokerUnavailable: Redis could not be reached in time.
        """
        with in_our_words(self._url):
            if self._has_functions:
                try:
                    return self._call(script, arguments)
                except redis.OutOfMemoryError:
                    logger.debug("no memory to load %s: it is evaluated", script.name)
                except redis.ResponseError as error:
                    if not any(sign in str(error) for sign in NO_FUNCTIONS):
                        raise
                    self._has_functions = False
            try:
                return self._client.evalsha(script.digest, 0, *arguments)
            except redis.exceptions.NoScriptError:
                return self._client.eval(script.text, 0, *arguments)

    def _call(self, script: Script, arguments: Sequence[RedisArgument]) -> Any:
        """Call the script as a function, whose parts need not be set up in every call."""
        try:
            return self._client.fcall(script.function, 0, *arguments)
        except redis.ResponseError as error:
            if UNKNOWN_FUNCTION not in str(error):
                raise
        self._load_functions()
        return self._client.fcall(script.function, 0, *arguments)

    def _load_functions(self) -> None:
        """Load all that are missing: the next one may be needed when the server has no memory left for it."""
        for script in SCRIPTS.values():
            try:
                self._client.function_load(script.library)
            except redis.ResponseError as error:
                if LOADED_MEANWHILE not in str(error):
                    raise

    def next_entry(self, key: str, after: str, *, timeout_s: float) -> str:
        """Wait for an entry of a stream after the given id; returns the last id there is then."""
        with in_our_words(self._url):
            found: Any = self._client.xread({key: after}, block=round(timeout_s * 1000))
        if not found:
            return after
        entries = next(iter(found.values()))[0] if isinstance(found, dict) else found[0][1]
        return str(entries[-1][0].decode())

    def server_facts(self) -> Mapping[str, Any]:
        """Return what the server says of itself: version, mode, eviction policy and the rest of INFO."""
        with in_our_words(self._url):
            facts: Mapping[str, Any] = self._client.info()
            return facts

    def config_facts(self) -> Mapping[str, str]:
        """Return how the server persists and evicts, by name of the directive; empty where it does not let us ask."""
        with in_our_words(self._url):
            try:
                return {str(name): str(value) for name, value in self._client.config_get(*CONFIG_ASKED).items()}
            except redis.ResponseError:
                return {}

    def hash_values(self, key: str, fields: Sequence[str]) -> list[bytes | None]:
        """Return some fields of a hash, None for each that is not there."""
        with in_our_words(self._url):
            return self._client.hmget(key, list(fields))  # type: ignore[return-value]

    def hash_sizes(self, keys: Sequence[str]) -> list[int]:
        """Return how many fields each hash has, in one exchange."""
        return [int(size) for size in self._pipelined([("HLEN", key) for key in keys])]

    def line_ends(self, keys: Sequence[str]) -> list[tuple[int, float | None, float | None]]:
        """Return size, lowest and highest score of each sorted set, in one exchange."""
        commands: list[tuple[str | int, ...]] = []
        for key in keys:
            commands += [("ZCARD", key), ("ZRANGE", key, 0, 0, "WITHSCORES"), ("ZRANGE", key, -1, -1, "WITHSCORES")]
        replies = self._pipelined(commands)
        return [
            (int(replies[at]), _score_of(replies[at + 1]), _score_of(replies[at + 2]))
            for at in range(0, len(replies), 3)
        ]

    def newest_of(self, key: str, first: int, count: int) -> list[str]:
        """Return members of a sorted set, the highest score first."""
        with in_our_words(self._url):
            found: Any = self._client.zrevrange(key, first, first + count - 1)
        return [member.decode() for member in found]

    def oldest_of(self, key: str, first: int, count: int) -> list[str]:
        """Return members of a sorted set, the lowest score first."""
        with in_our_words(self._url):
            found: Any = self._client.zrange(key, first, first + count - 1)
        return [member.decode() for member in found]

    def entries_after(self, key: str, after: str, count: int) -> list[tuple[str, dict[str, str]]]:
        """Return up to ``count`` entries of a stream after the given id, oldest first."""
        with in_our_words(self._url):
            found: Any = self._client.xrange(key, min=f"({after}" if after != "0" else "-", count=count)
        return [
            (entry.decode(), {name.decode(): value.decode() for name, value in fields.items()})
            for entry, fields in found
        ]

    def _pipelined(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        with in_our_words(self._url), self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            return list(pipeline.execute())

    def hash_of(self, key: str) -> dict[bytes, bytes]:
        """Return a whole hash."""
        with in_our_words(self._url):
            return self._client.hgetall(key)  # type: ignore[return-value]

    def members_of(self, key: str) -> set[bytes]:
        """Return a whole set."""
        with in_our_words(self._url):
            return self._client.smembers(key)  # type: ignore[return-value]

    def now_ms(self) -> float:
        """Return Redis time in milliseconds."""
        with in_our_words(self._url):
            found: Any = self._client.time()
        return float(found[0] * 1000 + found[1] / 1000)

    def keep_newest(self, key: str, entries: Sequence[str], count: int) -> None:
        """Put entries, the oldest first, at the head of a list that keeps its newest ``count``."""
        with in_our_words(self._url), self._client.pipeline() as pipeline:
            pipeline.lpush(key, *entries)
            pipeline.ltrim(key, 0, count - 1)
            pipeline.execute()

    def head_of(self, key: str, count: int) -> list[bytes]:
        """Return the first entries of a list."""
        with in_our_words(self._url):
            found: Any = self._client.lrange(key, 0, count - 1)
        return list(found)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()
