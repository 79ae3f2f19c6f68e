"""A Redis that came back with older data is noticed by the site's sequence, and a new epoch begins for all clients."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from steps.errors import BrokerUnavailable, NewEpoch, RunLost, RunUnknown
from steps.ledger import Ledger
from steps.ledger.keys import key_root
from steps.ledger.records import Beat
from steps.ledger.scripts import SCRIPTS
from steps.ledger.site_records import EPOCH_SPAN
from tests.support.ledger_story import ok, run_of
from tests.support.ledgers import fake_client, ledger_on

SITE = f"{key_root('stepline')}site"


def asked(client: Any, times: int = 5) -> Ledger:
    ledger = ledger_on(client)
    for _ in range(times):
        ledger.tick(Beat())
    return ledger


def roll_back(client: Any) -> None:
    client.hset(SITE, "seq", 2)


def test_an_older_redis_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    client = fake_client()
    ledger = asked(client)
    roll_back(client)
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            ledger.tick(Beat())
    assert ledger.epoch == 1
    assert len([record for record in caplog.records if "older data" in record.getMessage()]) == 1
    assert "the site's sequence is 3 and was 5" in caplog.text


def test_an_empty_redis_is_an_older_one() -> None:
    client = fake_client()
    ledger = asked(client)
    client.flushall()
    ledger.status(["r"])  # reads only, and carries the sequence too
    assert ledger.epoch == 1


def test_a_redis_that_only_goes_on_is_never_accused() -> None:
    client = fake_client()
    ledger, late = asked(client, 50), ledger_on(client)
    ledger.status(["r"])
    late.tick(Beat())
    assert (ledger.epoch, late.epoch) == (0, 0)
    assert ledger.site.rollbacks() == (0, None)


def test_all_clients_see_the_same_one_epoch_begin(caplog: pytest.LogCaptureFixture) -> None:
    client = fake_client()
    ledgers = [asked(client) for _ in range(3)]
    roll_back(client)
    for _ in range(2):
        for ledger in ledgers:
            ledger.tick(Beat())
    assert [ledger.epoch for ledger in ledgers] == [1, 1, 1]
    assert [record.getMessage()[:7] for record in caplog.records] == ["Redis c", "epoch 1", "epoch 1"]
    newcomer = asked(client, 1)
    assert newcomer.epoch == 1


def test_a_redis_that_comes_back_empty_again_begins_the_next_epoch() -> None:
    client = fake_client()
    ledger = asked(client)
    for epoch in (1, 2, 3):
        client.flushall()
        ledger.tick(Beat())
        assert ledger.epoch == epoch
    assert int(client.hget(SITE, "seq")) == 3 * EPOCH_SPAN
    times, last_ms = ledger.site.rollbacks()
    assert times == 3
    assert last_ms is not None


def before_each_epoch(ledger: Ledger, patch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Have something done between a reply that tells a ledger of an older Redis and what it does about it."""
    run = ledger._scripts.run

    def run_later(script: Any, *arguments: Any) -> Any:
        if script is SCRIPTS["begin_epoch"]:
            do()
        return run(script, *arguments)

    patch.setattr(ledger._scripts, "run", run_later)


def refuse() -> None:
    raise BrokerUnavailable("read only")


def test_an_older_redis_is_told_however_much_others_write_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    client = fake_client()
    ledger, other = asked(client), ledger_on(client)
    roll_back(client)
    before_each_epoch(ledger, monkeypatch, lambda: [other.tick(Beat()) for _ in range(4)])
    ledger.tick(Beat())
    other.tick(Beat())
    assert (ledger.epoch, other.epoch, ledger.site.rollbacks()[0]) == (1, 1, 1)


def test_two_that_saw_the_same_older_redis_begin_one_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    client = fake_client()
    ledger, other = asked(client), asked(client)
    roll_back(client)
    before_each_epoch(ledger, monkeypatch, lambda: other.tick(Beat()))
    for _ in range(3):
        ledger.tick(Beat())
    assert (ledger.epoch, other.epoch, ledger.site.rollbacks()[0]) == (1, 1, 1)


def test_threads_that_saw_the_same_older_redis_begin_one_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    client = fake_client()
    ledger = asked(client)
    roll_back(client)
    both = threading.Barrier(2)
    before_each_epoch(ledger, monkeypatch, lambda: both.wait(10))
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda _: ledger.status(["r"]), range(2)))
    ledger.status(["r"])
    assert (ledger.epoch, ledger.site.rollbacks()[0]) == (1, 1)


def test_a_client_that_cannot_begin_an_epoch_tries_again_however_much_others_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = fake_client()
    ledger = asked(client)
    roll_back(client)
    with monkeypatch.context() as patch:
        before_each_epoch(ledger, patch, refuse)
        ledger.status(["r"])
        assert ledger.epoch == 0
    asked(client, 10)
    ledger.status(["r"])
    assert ledger.epoch == 1


def test_a_run_planned_by_what_the_site_was_is_not_opened() -> None:
    client = fake_client()
    first, second = asked(client), asked(client)
    roll_back(client)
    with pytest.raises(NewEpoch, match="submit again"):
        first.open(run_of("r", ("parallel", "", 1)))
    with pytest.raises(NewEpoch):
        second.open(run_of("q", ("parallel", "", 1)))  # which had not asked since
    assert set(client.keys("*")) == {SITE.encode()}
    assert first.open(run_of("r", ("parallel", "", 1))).created
    assert second.open(run_of("q", ("parallel", "", 1))).created


def test_runs_that_were_open_say_so_for_ever_and_others_do_not() -> None:
    client = fake_client()
    ledger = ledger_on(client)
    for name in ("done", "open"):
        ledger.open(run_of(name, ("parallel", "", 1)), inbox="me")
    ledger.tick(Beat("w", "join", "parallel"))
    end(ledger, "done")
    client.hset(SITE, "seq", 0)
    ledger.status(["open"])
    ledger.open(run_of("new", ("parallel", "", 1)), inbox="me")
    before = {name: rolled_back(ledger, name) for name in ("done", "open", "new")}
    for name in ("open", "new"):
        end(ledger, name)
    assert before == {"done": False, "open": True, "new": False}
    assert {name: rolled_back(ledger, name) for name in before} == before
    notices = [client.lpop(ledger.inbox_key("me")) for _ in range(3)]
    assert [b'"older":true' in notice for notice in notices] == [False, True, False]
    client.flushall()
    ledger.status(["open"])
    assert ledger.epoch == 2


def end(ledger: Ledger, name: str) -> None:
    claimed = ledger.claim(name, 0, worker="w", want=1, with_meta=False)
    assert claimed is not None
    ledger.settle(name, 0, [ok(claimed.steps[0])], worker="w")


def rolled_back(ledger: Ledger, name: str) -> bool:
    (facts,) = ledger.status([name])
    assert facts is not None
    record = ledger.read(name)
    assert record.rolled_back == bool(facts.plain["rolled_back"])
    return record.rolled_back


def test_a_run_that_was_there_and_is_gone_is_lost_only_if_redis_came_back_older() -> None:
    client = fake_client()
    ledger = asked(client)
    with pytest.raises(RunUnknown):
        ledger.read_accepted("r", ledger.epoch)
    before = ledger.epoch
    client.flushall()
    with pytest.raises(RunLost):
        ledger.read_accepted("r", before)
    with pytest.raises(RunUnknown):
        ledger.read_accepted("r", ledger.epoch)
