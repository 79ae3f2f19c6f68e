"""A Redis that came back with older data is noticed by the site's sequence, which never falls by itself."""

import logging

import pytest

from steps.ledger import Ledger
from steps.ledger.keys import key_root
from steps.ledger.records import Beat
from tests.support.ledgers import fake_client, ledger_on


@pytest.fixture
def rolled_back() -> Ledger:
    client = fake_client()
    ledger = ledger_on(client)
    for _ in range(5):
        ledger.tick(Beat())
    client.hset(f"{key_root('stepline')}site", "seq", 2)
    return ledger


def test_an_older_redis_is_told_once(rolled_back: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            rolled_back.tick(Beat())
    assert rolled_back.rollbacks == 1
    assert [record.getMessage() for record in caplog.records if "older data" in record.getMessage()] != []
    assert "the site's sequence is 3 and was 5" in caplog.text


def test_an_empty_redis_is_an_older_one(rolled_back: Ledger) -> None:
    rolled_back.status(["r"])  # reads only, and carries the sequence too
    assert rolled_back.rollbacks == 1


def test_a_redis_that_only_goes_on_is_never_accused() -> None:
    ledger = ledger_on(fake_client())
    for _ in range(50):
        ledger.tick(Beat())
        ledger.status(["r"])
    assert ledger.rollbacks == 0
