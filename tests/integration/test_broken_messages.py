"""Broken messages on a real Redis: none reaches a consumer, none stays unacknowledged, and ours are all understood."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from kombu import Consumer, Exchange, Queue

from config.broker import broker_prefix
from producer.publish import Publisher, make_site_app
from steps.ledger.dead_letter import DeadLetter
from steps.ledger.records import Ready
from tests.support.broken_frames import COMMANDS, FRAMES, frame_bytes, fuzzed
from tests.support.real_redis import RealSite
from workers.intake import NotUnderstood, bare

QUEUE = "parallel"


class Reader:
    """A consumer in this process, as Celery's worker has one.

    Args:
        site: The one whose queue it reads.
    """

    def __init__(self, site: RealSite) -> None:
        self.messages: list[Any] = []
        self.broken: list[tuple[str, bytes, str]] = []
        self._connection = make_site_app(site.settings, site.url).connection_for_read()
        self._connection.on_broken = lambda *told: self.broken.append(told)
        self._channel = self._connection.channel()
        self._consumer = Consumer(
            self._channel,
            [Queue(QUEUE, Exchange(QUEUE), routing_key=QUEUE)],
            on_message=self.messages.append,
        )
        self._consumer.consume()

    def read(self, count: int) -> None:
        """Read so many messages, sound or broken."""
        had = len(self.messages) + len(self.broken)
        for _ in range(10 * count):
            if len(self.messages) + len(self.broken) == had + count:
                return
            with suppress(socket.timeout):
                self._connection.drain_events(timeout=1.0)
        pytest.fail(f"read {len(self.messages)} sound and {len(self.broken)} broken ones, not {count}")

    @property
    def unacknowledged(self) -> int:
        return len(self._channel.qos._delivered) - len(self._channel.qos._dirty)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def reader(real: RealSite) -> Iterator[Reader]:
    opened = Reader(real)
    yield opened
    opened.close()


def test_a_broken_frame_is_given_away_and_the_next_message_is_read(real: RealSite, reader: Reader) -> None:
    for broken in FRAMES:
        real.client.lpush(real.queue_key(QUEUE), broken.raw, frame_bytes())
        reader.read(2)
        assert reader.broken.pop() == (QUEUE, broken.raw, broken.reason)
        assert reader.unacknowledged == 1  # the sound one
        reader.messages.pop().ack()
        assert reader.unacknowledged == 0


def test_frames_at_random_leave_nothing_unacknowledged(real: RealSite, reader: Reader) -> None:
    frames = list(fuzzed(11, 2_000))
    real.client.lpush(real.queue_key(QUEUE), *frames)
    reader.read(len(frames))
    for message in reader.messages:
        with suppress(NotUnderstood):
            bare(message)
        if not message.acknowledged:
            message.reject()
    assert reader.unacknowledged == 0


def test_what_came_unharmed_through_a_reconnect_is_understood(real: RealSite) -> None:
    first = Reader(real)
    real.client.lpush(real.queue_key(QUEUE), frame_bytes())
    first.read(1)
    first.close()  # gives it back, as a worker that stops does
    second = Reader(real)
    second.read(1)
    bare(second.messages[0])
    second.messages[0].ack()
    second.close()


@pytest.mark.parametrize("body", [None, ("000000000000aa", 2)], ids=["a group", "a chord"])
def test_all_that_we_publish_is_understood(real: RealSite, reader: Reader, body: tuple[str, int] | None) -> None:
    publisher: Publisher = real.publisher
    assert publisher.publish([Ready("000000000000aa", 0, QUEUE, 1)])
    assert publisher.publish([Ready("000000000000aa", 0, QUEUE, 1), Ready("000000000000aa", 1, QUEUE, 1)], body=body)
    reader.read(3)
    assert not reader.broken
    for message in reader.messages:
        given = message.headers["id"]
        bare(message)
        assert message.headers["id"] == given
        message.ack()
    assert sorted(message.payload[0][1] for message in reader.messages) == [0, 0, 1]


def test_broken_broadcasts_reach_no_mailbox(real: RealSite) -> None:
    app = make_site_app(real.settings, real.url)
    broken: list[tuple[str, bytes, str]] = []
    got: list[Any] = []
    with app.connection_for_read() as connection:
        connection.on_broken = lambda *told: broken.append(told)
        node = app.control.mailbox(connection).Node("w@h", channel=connection.channel())
        node.listen(callback=lambda body, _: got.append(body))
        connection.drain_events(timeout=5)  # the answer to its subscription
        topic = f"{broker_prefix(real.settings)}/0.celery.pidbox"
        for raw in COMMANDS[:7]:
            assert real.client.publish(topic, raw) == 1
        app.control.broadcast("ping")
        while not got:
            connection.drain_events(timeout=5)
    assert [raw for _, raw, _ in broken] == list(COMMANDS[:7])
    assert {source for source, _, _ in broken} == {"remote control"}
    assert [body["method"] for body in got] == ["ping"]


def test_letters_are_kept_by_redis_time_the_newest_first(real: RealSite) -> None:
    old = DeadLetter(at_ms=0.0, queue=QUEUE, worker="w", reason="odd", size=1, raw=b"\xff")
    real.ledger.site.set_aside([old] * 600)
    real.ledger.site.set_aside([old] * 600)
    found = real.ledger.site.dead_letters()
    assert len(found) == 1_000
    assert abs(found[0].at_ms) < 10_000  # one clock
    assert json.loads(found[0].encode())["raw"] == "/w=="
