"""Waiting for runs, on a real Redis."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from producer import inbox as inbox_module
from producer import notices
from producer.inbox import Inbox
from steps.errors import BrokerUnavailable, RunLost
from steps.ledger.records import Beat, StepFate
from tests.support.ledger_story import ok, run_of
from tests.support.ledgers import running_server, server_programs
from tests.support.processes import wait_until
from tests.support.real_redis import RealSite, real_site

WAIT_S = 20.0
SELDOM_S = 2.0
LARGE = '{"status":"succeeded","value":"' + "x" * 40_000 + '"}'


@contextmanager
def inbox_at(real: RealSite, take_marks: Any = tuple) -> Iterator[Inbox]:
    inbox = Inbox(ledger=real.ledger, settings=real.settings, url=real.url, take_marks=take_marks)
    try:
        yield inbox
    finally:
        inbox.close()


@pytest.fixture
def inbox(real: RealSite) -> Iterator[Inbox]:
    real.ledger.tick(Beat("w", "join", "parallel"))
    with inbox_at(real) as inbox:
        yield inbox


def open_run(real: RealSite, name: str, inbox: Inbox | None = None) -> None:
    real.ledger.open(run_of(name, ("parallel", "", 1)), inbox=inbox.id if inbox else "")


def settle(real: RealSite, name: str, outcome: str | None = None) -> None:
    claimed = real.ledger.claim(name, 0, worker="w", want=1, with_meta=False)
    assert claimed is not None
    (step,) = claimed.steps
    fate = ok(step) if outcome is None else StepFate(step.index, step.fence, "S", "succeeded", outcome)
    assert real.ledger.settle(name, 0, [fate], worker="w").accepted == (True,)


def test_a_notice_wakes_whoever_waits_and_brings_the_outcomes(real: RealSite, inbox: Inbox) -> None:
    open_run(real, "r", inbox)
    future = inbox.wait_for("r")
    assert not future.done()
    settle(real, "r")
    notice = future.result(WAIT_S)
    assert (notice.run_id, notice.outcomes) == ("r", ({"status": "succeeded", "value": 1},))
    assert 0 < notice.total_ms < WAIT_S * 1000


def test_large_outcomes_are_for_the_waiter_to_read(real: RealSite, inbox: Inbox) -> None:
    open_run(real, "r", inbox)
    future = inbox.wait_for("r")
    settle(real, "r", LARGE)
    assert future.result(WAIT_S).outcomes is None


@pytest.mark.parametrize("outcome", [None, LARGE], ids=["small", "large"])
def test_a_notice_that_comes_early_is_kept(real: RealSite, inbox: Inbox, outcome: str | None) -> None:
    for name in ("r", "q"):
        open_run(real, name, inbox)
    waited_for = inbox.wait_for("r")
    settle(real, "q", outcome)
    wait_until(lambda: "q" in inbox._early)
    early = inbox.wait_for("q")
    assert early.done()
    assert early.result().run_id == "q"
    settle(real, "r")
    assert waited_for.result(WAIT_S).run_id == "r"


def test_early_notices_are_not_kept_without_a_limit(
    real: RealSite, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "EARLY_KEPT", 2)
    monkeypatch.setattr(notices, "EARLY_KNOWN", 1)
    open_run(real, "r", inbox)
    future = inbox.wait_for("r")
    for name in ("a", "b", "c", "d"):
        open_run(real, name, inbox)
        settle(real, name)
    settle(real, "r")
    future.result(WAIT_S)
    assert [name in inbox._early for name in ("a", "b", "c", "d")] == [False, True, True, True]
    assert [inbox.wait_for(name).result(0).outcomes is None for name in ("b", "c", "d")] == [True, False, False]


def test_a_run_whose_notice_was_dropped_is_looked_at_at_once_where_asked_for(
    real: RealSite, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "LOOK_EVERY_S", SELDOM_S)
    names = [f"r{number}" for number in range(30)]
    for name in names:
        open_run(real, name, inbox)
        settle(real, name)
    real.client.delete(real.ledger.inbox_key(inbox.id))
    began_s = time.monotonic()
    for name in names:
        assert inbox.wait_for(name, look_now=True).result(WAIT_S).run_id == name
    assert time.monotonic() - began_s < SELDOM_S


def test_many_notices_are_taken_at_once(real: RealSite, inbox: Inbox) -> None:
    names = [f"r{number}" for number in range(250)]
    for name in names:
        open_run(real, name, inbox)
        settle(real, name)
    open_run(real, "last", inbox)
    future = inbox.wait_for("last")
    wait_until(lambda: all(name in inbox._early for name in names))
    taken = real.client.info("commandstats")["cmdstat_lpop"]["calls"]
    assert taken < len(names) / 2
    settle(real, "last")
    future.result(WAIT_S)


def test_a_run_that_sends_no_notice_is_looked_at(real: RealSite, inbox: Inbox) -> None:
    open_run(real, "settled")
    settle(real, "settled")
    open_run(real, "late", inbox)
    futures = [inbox.wait_for(name) for name in ("settled", "late")]
    assert futures[0].result(WAIT_S).outcomes is None
    real.client.delete(f"stepline:v1:alive:{inbox.id}")  # as if this process had been silent for long
    real.client.hset("stepline:v1:run:late", "watch", "")
    settle(real, "late")
    assert futures[1].result(WAIT_S).run_id == "late"


def test_looking_makes_it_a_watcher(real: RealSite, inbox: Inbox) -> None:
    open_run(real, "r")
    future = inbox.wait_for("r")
    wait_until(lambda: real.client.hget("stepline:v1:run:r", "watch") == inbox.id.encode())
    settle(real, "r")
    assert future.result(WAIT_S).outcomes == ({"status": "succeeded", "value": 1},)


def test_a_run_that_is_gone_is_lost(real: RealSite, inbox: Inbox) -> None:
    open_run(real, "r", inbox)
    future = inbox.wait_for("r")
    real.client.delete("stepline:v1:run:r")
    with pytest.raises(RunLost) as lost:
        future.result(WAIT_S)
    assert lost.value.run_id == "r"


def test_a_deadline_fires_while_it_is_waited_for_and_no_worker_lives(real: RealSite, inbox: Inbox) -> None:
    real.ledger.open(run_of("r", ("critical", "a", 600), deadline_s=0.05), inbox=inbox.id)
    assert inbox.wait_for("r").result(WAIT_S).run_id == "r"


def test_many_threads_wait_for_many_runs_over_one_inbox(real: RealSite, inbox: Inbox) -> None:
    names = [f"r{number}" for number in range(30)]
    for name in names:
        open_run(real, name, inbox)
    heard: dict[tuple[str, int], Any] = {}

    def wait(name: str, number: int) -> None:
        heard[name, number] = inbox.wait_for(name).result(WAIT_S)

    threads = [threading.Thread(target=wait, args=(name, number)) for name in names for number in range(2)]
    for thread in threads:
        thread.start()
    for name in names:
        settle(real, name)
    for thread in threads:
        thread.join(WAIT_S)
    assert {key: notice.run_id for key, notice in heard.items()} == {(name, n): name for name in names for n in (0, 1)}
    assert sum(thread.name == "stepline-inbox" for thread in threading.enumerate()) == 1


def test_a_notice_that_is_none_does_not_end_the_waiting(
    real: RealSite, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    open_run(real, "r", inbox)
    for garbage in (b"\xff", b"[]", b"{}", b'{"run":"r","outcomes":7}'):
        real.client.rpush(real.ledger.inbox_key(inbox.id), garbage)
    future = inbox.wait_for("r")
    settle(real, "r")
    assert future.result(WAIT_S).outcomes == ({"status": "succeeded", "value": 1},)
    assert caplog.text.count("cannot be understood") == 4


def test_a_future_nobody_waits_for_any_more_is_forgotten(real: RealSite, inbox: Inbox) -> None:
    open_run(real, "r", inbox)
    kept, given_up = inbox.wait_for("r"), inbox.wait_for("r")
    inbox.stop_waiting("r", given_up)
    settle(real, "r")
    kept.result(WAIT_S)
    assert not given_up.done()
    inbox.stop_waiting("r", given_up)
    inbox.stop_waiting("r", kept)


def test_the_thread_ends_when_idle_and_begins_again(
    real: RealSite, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "IDLE_S", 0.05)
    monkeypatch.setattr(inbox_module, "LOOK_EVERY_S", 0.05)
    for name in ("r", "q"):
        open_run(real, name, inbox)
        settle(real, name)
        inbox.wait_for(name).result(WAIT_S)
        wait_until(lambda: inbox._thread is None)


def test_marks_ride_along_with_the_looks(real: RealSite) -> None:
    marks = [(("r", 0),)]
    with inbox_at(real, take_marks=lambda: marks.pop() if marks else ()) as inbox:
        open_run(real, "r", inbox)
        inbox.wait_for("r")
        wait_until(lambda: real.client.hget("stepline:v1:run:r", "pub0") == b"1")


def test_those_who_wait_are_told_when_the_producer_is_closed(real: RealSite) -> None:
    with inbox_at(real) as inbox:
        open_run(real, "r", inbox)
        future = inbox.wait_for("r")
    for one in (future, inbox.wait_for("r")):
        with pytest.raises(BrokerUnavailable, match="was closed"):
            one.result(WAIT_S)


def test_a_lost_connection_is_made_again(real: RealSite, inbox: Inbox) -> None:
    open_run(real, "r", inbox)
    future = inbox.wait_for("r")
    wait_until(lambda: _is_listening(real))
    real.client.client_kill_filter(_type="normal", skipme=True)
    settle(real, "r")
    assert future.result(WAIT_S).run_id == "r"


def _is_listening(real: RealSite) -> bool:
    return any(client["cmd"] == "blpop" for client in real.client.client_list())


def test_those_who_wait_are_told_after_a_while_that_redis_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "PATIENCE_S", 0.2)
    (program, *_) = server_programs().values()
    with running_server(program) as url, real_site(url) as real, inbox_at(real) as inbox:
        open_run(real, "r", inbox)
        future = inbox.wait_for("r")
        wait_until(lambda: _is_listening(real))
        real.client.shutdown(nosave=True)
        with pytest.raises(BrokerUnavailable, match="has not answered for"):
            future.result(WAIT_S)
