"""Messages that are not understood: what is sound and what is not, how it is kept, logged and shown."""

import inspect
import json
import logging
from base64 import b64decode
from typing import Any

import pytest
from kombu.transport import redis as redis_transport
from kombu.transport.virtual.base import Message

from config.broker_connection import BrokerConnection, _frame_of
from config.broker_frames import BrokenFrame
from producer.cli import doctor, main
from steps.errors import BrokerUnavailable
from steps.ledger import Ledger
from steps.ledger.dead_letter import DeadLetter
from steps.ledger.site_records import DEAD_LETTERS_KEPT
from tests.support.broken_frames import FRAMES, HARMLESS, MESSAGES, RUN_ID, Broken, frame_bytes, fuzzed
from tests.support.ledgers import fake_client, ledger_on
from tests.unit.test_cli_schemas import check
from workers.dead_letters import MOST_WAITING, DeadLetters
from workers.intake import NotUnderstood, bare
from workers.nudge import Nudge
from workers.pidbox_node import is_command
from workers.sparse_log import APART_S, SparseLog

BRPOP_READ = """\
    def _brpop_read(self, **options):
        try:
            try:
                dest__item = self.client.parse_response(self.client.connection,
                                                        'BRPOP',
                                                        **options)
            except self.connection_errors:
                # if there's a ConnectionError, disconnect so the next
                # iteration will reconnect automatically.
                self.client.connection.disconnect()
                raise
            if dest__item:
                dest, item = dest__item
                dest = bytes_to_str(dest).rsplit(self.sep, 1)[0]
                self._queue_cycle.rotate(dest)
                self.connection._deliver(loads(bytes_to_str(item)), dest)
                return True
            else:
                raise Empty()
        finally:
            self._in_poll = None
            # The BRPOP connection is now idle (its reply has been fully
            # consumed and no new BRPOP has been issued yet): this is the
            # safe moment to flush any pending streaming re-auth token.
            self._flush_brpop_reauth()
"""


class Decoder:
    """What a message asks of its channel."""

    no_ack_consumers = None

    def decode_body(self, body: str, encoding: str | None) -> bytes | str:
        return b64decode(body) if encoding == "base64" else body


def message_of(raw: bytes) -> Any:
    return Message(_frame_of(raw), channel=Decoder())


# what is sound ----------------------------------------------------------------------------------------------------


def test_the_hooks_of_kombu_still_have_the_form_that_is_overridden() -> None:
    assert inspect.getsource(redis_transport.Channel._brpop_read) == BRPOP_READ
    receive = inspect.getsource(redis_transport.Channel._receive_one)
    assert "payload = self._handle_message(c, response)" in receive
    assert "if payload['data']:" in receive
    handle = inspect.getsource(redis_transport.Channel._handle_message)
    assert handle.startswith("    def _handle_message(self, client, r):\n")
    assert "'data': data," in handle


@pytest.mark.parametrize("broken", FRAMES, ids=str)
def test_a_frame_that_kombu_could_not_take_is_broken(broken: Broken) -> None:
    with pytest.raises(BrokenFrame) as caught:
        _frame_of(broken.raw)
    assert str(caught.value) == broken.reason


@pytest.mark.parametrize("broken", MESSAGES, ids=str)
def test_a_message_that_is_no_parcel_is_not_understood(broken: Broken) -> None:
    message = message_of(broken.raw)
    with pytest.raises(NotUnderstood) as caught:
        bare(message)
    assert caught.value.reason in broken.reason or broken.reason in caught.value.detail


@pytest.mark.parametrize("raw", [frame_bytes(), *HARMLESS])
def test_of_what_is_understood_celery_gets_the_parcel_and_nothing_else(raw: bytes) -> None:
    message = message_of(raw)
    bare(message)
    assert message.payload == [[RUN_ID, 0], {}, {}]
    assert json.loads(message.body) == message.payload
    assert set(message.headers) == {"task", "id", "lang", "ignore_result"}
    assert 0 < len(message.headers["id"]) <= 36
    assert message.content_encoding == "utf-8"


def test_frames_at_random_are_understood_or_set_aside_and_raise_nothing_else() -> None:
    told = {"sound": 0, "set aside": 0}
    for raw in fuzzed(24, 2_000):
        try:
            bare(message_of(raw))
            told["sound"] += 1
        except (BrokenFrame, NotUnderstood):
            told["set aside"] += 1
    assert min(told.values()) > 100


def test_only_what_has_the_form_of_a_command_reaches_a_mailbox() -> None:
    way_back = {"exchange": "reply", "routing_key": "r"}
    sound = [
        {"method": "ping"},
        {"method": "ping", "arguments": {}, "destination": ["w@h"], "reply_to": way_back, "ticket": "t"},
        {"method": "new_one", "arguments": None, "destination": None, "pattern": "w.*", "matcher": "pcre"},
    ]
    broken = [
        None,
        [1],
        {},
        {"method": 1},
        {"method": "ping", "arguments": []},
        {"method": "ping", "destination": "w@h"},
        {"method": "ping", "destination": [1]},
        {"method": "ping", "pattern": 1},
        {"method": "ping", "reply_to": {"exchange": "reply"}},
        {"method": "ping", "reply_to": [1]},
        {"method": "ping", "ticket": {}},
    ]
    assert [is_command(body) for body in sound] == [True] * len(sound)
    assert [is_command(body) for body in broken] == [False] * len(broken)


def test_a_connection_that_nobody_watches_drops_what_is_broken_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    BrokerConnection("memory://").on_broken("parallel", b"\x1b[2J", "it is no JSON")
    (record,) = caplog.records
    assert record.getMessage() == "dropped a message of parallel: it is no JSON: b'\\x1b[2J'"


# how it is kept ---------------------------------------------------------------------------------------------------


@pytest.fixture
def ledger() -> Ledger:
    client = fake_client()
    client.flushall()
    return ledger_on(client)


@pytest.fixture
def letters(ledger: Ledger) -> DeadLetters:
    return DeadLetters(ledger=ledger, worker_id="w", nudge=Nudge())


def test_a_message_is_kept_with_time_reason_and_its_first_bytes(letters: DeadLetters, ledger: Ledger) -> None:
    before_ms = ledger._scripts.now_ms()
    letters.take("parallel", b"\x00" * 5000, "it is odd", "'x'")
    letters.flush()
    (letter,) = ledger.site.dead_letters()
    assert (letter.queue, letter.worker, letter.reason, letter.size) == ("parallel", "w", "it is odd: 'x'", 5000)
    assert letter.raw == b"\x00" * 4096
    assert letter.excerpt(2) == "\\x00\\x00"
    assert before_ms - 5 <= letter.at_ms <= ledger._scripts.now_ms() + 5


def test_the_newest_come_first_and_only_so_many_are_kept(letters: DeadLetters, ledger: Ledger) -> None:
    for number in range(DEAD_LETTERS_KEPT + 5):
        letters.take("parallel", str(number).encode(), "it is odd")
        if number % 400 == 0:
            letters.flush()
    letters.flush()
    kept = ledger.site.dead_letters()
    assert [letter.raw for letter in kept[:2]] == [b"1004", b"1003"]
    assert (len(kept), kept[-1].raw) == (DEAD_LETTERS_KEPT, b"5")
    assert ledger.site.dead_letters(3) == kept[:3]


def test_what_cannot_be_written_waits_for_the_next_beat(
    letters: DeadLetters, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: object) -> None:
        raise BrokerUnavailable("Redis is away")

    with monkeypatch.context() as patch:
        patch.setattr(ledger.site, "set_aside", refuse)
        for number in range(MOST_WAITING + 50):
            letters.take("parallel", str(number).encode(), "it is odd")
        letters.flush()
        letters.take("parallel", b"the last", "it is odd")
        letters.flush()
    assert not ledger.site.dead_letters()
    letters.flush()
    kept = [letter.raw for letter in ledger.site.dead_letters()]
    assert (len(kept), kept[0], kept[-1]) == (MOST_WAITING, b"the last", b"51")
    assert len([record for record in caplog.records if "Redis is away" in record.getMessage()]) == 1


def test_a_flood_wakes_the_keeper_once_until_it_has_written(ledger: Ledger) -> None:
    nudge = Nudge()
    letters = DeadLetters(ledger=ledger, worker_id="w", nudge=nudge)
    letters.take("parallel", b"1", "it is odd")
    assert nudge.wait(0)
    letters.flush()
    letters.take("parallel", b"2", "it is odd")
    assert not nudge.wait(0)


# how it is logged -------------------------------------------------------------------------------------------------


def test_a_kind_has_a_line_a_minute_and_a_count(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    log = SparseLog(logging.getLogger("sparse"), clock=lambda: now[0])
    for number in range(5):
        log.tell("odd", f"odd {number}")
    log.tell("cut", "cut 0")
    log.count_up()
    assert [record.getMessage() for record in caplog.records] == ["odd 0", "cut 0"]
    now[0] += APART_S
    log.count_up()
    assert [record.getMessage() for record in caplog.records[2:]] == ["4 more like it within a minute: odd"]
    log.tell("odd", "odd 5")
    assert caplog.records[-1].getMessage() == "odd 5"


# how it is shown --------------------------------------------------------------------------------------------------

LETTER = DeadLetter(
    at_ms=1_700_000_000_000.5, queue="parallel", worker="w", reason="it is odd", size=9000, raw=b'\x1b[2J{"a": "\xff"}'
)


def test_the_doctor_prints_them_as_promised(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "dead_letters", lambda _: (LETTER, LETTER))
    assert main(["doctor", "--dead-letters", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    check("dead_letters", document)
    assert len(document) == 2
    assert document[0]["excerpt"] == '\\x1b[2J{"a": "\\xff"}'
    assert b64decode(document[0]["raw"]) == LETTER.raw


def test_the_doctor_prints_a_line_each(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "dead_letters", lambda _: (LETTER,))
    assert main(["doctor", "--dead-letters"]) == 0
    out = capsys.readouterr().out
    assert "it is odd" in out
    assert '\\x1b[2J{"a": "\\xff"}' in out
    assert out.endswith("1 set aside\n")


def test_without_a_site_there_is_nowhere_to_look(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEPLINE_REDIS_URL", raising=False)
    monkeypatch.setenv("STEPLINE_DATA_DIR", str(tmp_path / "data"))
    assert main(["doctor", "--dead-letters", "--json"]) == 3
    assert "no site is up" in json.loads(capsys.readouterr().out)["error"]["message"]
