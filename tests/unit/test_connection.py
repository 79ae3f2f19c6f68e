"""The connection to Redis: no call waits longer than its time-out, and what is no Redis is called so."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from config.settings import load_settings
from steps.errors import BrokerUnavailable
from steps.ledger import Ledger
from steps.ledger.connection import NoAnswer

TIMEOUT_S = 0.2


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
    with pytest.raises(NoAnswer, match="does not answer"):
        ledger_at(silent.url).read("some_run")
    assert time.monotonic() - began < 2 * TIMEOUT_S
    assert silent.asked == 1


def test_what_is_no_redis_is_called_so_without_its_password() -> None:
    with closing(Stranger(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as stranger:
        with pytest.raises(BrokerUnavailable, match="is no Redis") as caught:
            ledger_at(stranger.url).read("some_run")
        assert "secret" not in str(caught.value)
