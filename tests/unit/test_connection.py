"""The connection to Redis: no call waits longer than its time-out, and what is no Redis is called so."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
import redis
from redis.backoff import NoBackoff

from config.settings import load_settings
from steps.errors import BrokerUnavailable, NoAnswer
from steps.ledger import Ledger
from steps.ledger.connection import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    RETRIES,
    Tries,
    connect,
    in_our_words,
)

TIMEOUT_S = 0.2

REFUSED = redis.ConnectionError("Error 111 connecting to 127.0.0.1:1. Connection refused.")
BROKEN = redis.ConnectionError("Connection closed by server.")
TOO_MANY = redis.ConnectionError("max number of clients reached")
NO_CONNECTION_LEFT = redis.MaxConnectionsError("Too many connections")
LOADING = redis.BusyLoadingError("Redis is loading the dataset in memory")
LATE = redis.TimeoutError("Timeout reading from socket")


class Stranger:
    """A server that gives every connection the same answer, or none."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.url = f"redis://:secret@127.0.0.1:{self._server.getsockname()[1]}/0"
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def asked(self) -> int:
        """How many connections there were."""
        return len(self._connections)

    def close(self) -> None:
        for one in [self._server, *self._connections]:
            one.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._connections.append(connection)
            if self._answer:
                connection.sendall(self._answer)


@pytest.fixture
def silent() -> Iterator[Stranger]:
    with closing(Stranger(b"")) as stranger:
        yield stranger


def ledger_at(url: str) -> Ledger:
    return Ledger(load_settings({"STEPLINE_SOCKET_TIMEOUT_S": str(TIMEOUT_S)}), url=url)


def test_a_call_without_an_answer_is_given_up_after_one_time_out(silent: Stranger) -> None:
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        ledger_at(silent.url).read("some_run")
    assert time.monotonic() - began < 2 * TIMEOUT_S
    assert silent.asked == 1


def test_what_is_no_redis_is_called_so_without_its_password() -> None:
    with closing(Stranger(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as stranger:
        with pytest.raises(BrokerUnavailable, match="is no Redis") as caught:
            ledger_at(stranger.url).read("some_run")
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ([REFUSED], BrokerUnavailable),
        ([REFUSED, REFUSED], BrokerUnavailable),
        ([TOO_MANY], BrokerUnavailable),
        ([LOADING], BrokerUnavailable),
        ([NO_CONNECTION_LEFT], BrokerUnavailable),
        ([BROKEN], NoAnswer),
        ([LATE], NoAnswer),
        ([BROKEN, REFUSED], NoAnswer),  # the first try was sent: what the last one met says nothing of it
        ([BROKEN, TOO_MANY], NoAnswer),
        ([BROKEN, LOADING], NoAnswer),
        ([REFUSED, LATE], NoAnswer),
    ],
    ids=str,
)
def test_what_may_have_been_done_is_told_from_what_was_certainly_not(
    errors: list[Exception], kind: type[Exception]
) -> None:
    left = [type(error)(*error.args) for error in errors]

    def fails() -> None:
        raise left.pop(0)

    tries = Tries(NoBackoff(), len(errors) - 1, supported_errors=(redis.ConnectionError,))
    with pytest.raises(BrokerUnavailable) as caught, in_our_words("redis://somewhere"):
        tries.call_with_retry(fails, lambda _: None)
    assert type(caught.value) is kind
    assert left == []


def test_a_server_that_lets_nobody_in_has_done_nothing() -> None:
    with closing(Stranger(b"-ERR max number of clients reached\r\n")) as stranger:
        with pytest.raises(BrokerUnavailable, match="max number of clients") as caught:
            ledger_at(stranger.url).read("some_run")
        assert not isinstance(caught.value, NoAnswer)


def test_a_server_that_does_not_say_hello_has_done_nothing(silent: Stranger) -> None:
    with pytest.raises(BrokerUnavailable, match="while connecting to it") as caught:
        ledger_at(silent.url).read("some_run")
    assert not isinstance(caught.value, NoAnswer)


def test_many_threads_ask_at_once_and_none_is_refused_a_connection() -> None:
    with closing(connect(load_settings({}), "redis://127.0.0.1:1/0")) as client:
        pool = client.connection_pool
        asked = [pool.make_connection() for _ in range(1_000)]
    assert len(asked) == 1_000


def test_a_server_that_a_script_keeps_busy_is_unavailable() -> None:
    busy = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
    with pytest.raises(BrokerUnavailable, match="takes no writes: BUSY") as caught, in_our_words("redis://somewhere"):
        raise redis.ResponseError(busy)
    assert not isinstance(caught.value, NoAnswer)
    with pytest.raises(redis.ResponseError), in_our_words("redis://somewhere"):
        raise redis.ResponseError("BUSYGROUP Consumer Group name already exists")


def test_a_server_that_cannot_keep_what_it_is_told_is_unavailable() -> None:
    with pytest.raises(BrokerUnavailable, match="takes no writes: MISCONF"), in_our_words("redis://somewhere"):
        raise redis.ResponseError("MISCONF Errors writing to the AOF file: No space left on device")
    with pytest.raises(redis.ResponseError, match="a defect of ours"), in_our_words("redis://somewhere"):
        raise redis.ResponseError("ERR a defect of ours")


def test_the_pauses_between_tries_grow_and_differ() -> None:
    client = connect(load_settings({}), "redis://127.0.0.1:1/0")
    retry = client.connection_pool.connection_kwargs["retry"]
    pauses = [[retry._backoff.compute(failures) for _ in range(50)] for failures in range(1, RETRIES + 1)]
    assert all(len(set(some)) > 10 for some in pauses)
    assert max(pauses[0]) <= 2 * FIRST_PAUSE_S < max(pauses[-1]) <= LONGEST_PAUSE_S  # the doubles of the first
    client.close()
