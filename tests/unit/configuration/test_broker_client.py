"""What a worker notes in the broker of the messages it took: it goes on where that cannot be written or removed."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.transport.redis import QoS as RedisQoS
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import OutOfMemoryError

from config.broker_client import BrokerQoS


@pytest.fixture
def taken() -> BrokerQoS:
    """A worker's notes of one message that it took, with a prefetch of one."""
    return BrokerQoS(SimpleNamespace(do_restore=False), prefetch_count=1)


def refuses(error: Exception) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise error

    return refuse


def test_a_message_is_taken_though_redis_has_no_room_for_the_note(
    taken: BrokerQoS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RedisQoS, "append", refuses(OutOfMemoryError("used memory > 'maxmemory'")))
    taken.append("message", "tag")
    assert taken.get("tag") == "message"
    assert not taken.can_consume()


@pytest.mark.parametrize("verb", ["ack", "reject"])
def test_a_message_whose_note_cannot_be_removed_makes_room_for_the_next(
    taken: BrokerQoS, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(RedisQoS, "append", refuses(OutOfMemoryError("used memory > 'maxmemory'")))
    taken.append("message", "tag")
    monkeypatch.setattr(RedisQoS, verb, refuses(LostConnection("closed by server")))
    removes: Any = getattr(taken, verb)
    with pytest.raises(LostConnection):
        removes("tag")
    assert taken.can_consume()
