"""A Redis that runs full: new runs are refused before it is, what was accepted goes on to its end."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from config import broker_client
from steps.errors import StoreFull
from steps.ledger import Ledger
from steps.ledger.keys import key_root
from steps.ledger.records import Beat, ClaimedStep, Ready
from tests.support.ledger_story import ok, run_of
from tests.support.real_redis import RealSite

WITH_FUNCTIONS = 7
"""The first version whose scripts may write in spite of its limit."""


@pytest.fixture(autouse=True)
def _no_limit_afterwards(real: RealSite) -> Iterator[None]:
    yield
    real.client.config_set("maxmemory", "0")


def used(real: RealSite) -> int:
    return int(real.client.info("memory")["used_memory"])


@contextmanager
def full(real: RealSite) -> Iterator[None]:
    """Let the server use less than it does; one that has no functions takes no writes at all then."""
    if int(str(real.client.info("server")["redis_version"]).partition(".")[0]) < WITH_FUNCTIONS:
        pytest.skip("this server has no functions")
    real.client.config_set("maxmemory", str(used(real) // 2))
    yield
    real.client.config_set("maxmemory", "0")


def keys(real: RealSite) -> set[bytes]:
    return set(real.client.keys("*"))


def test_a_new_run_is_refused_from_the_share_on_and_nothing_is_written(real: RealSite) -> None:
    real.ledger.tick(Beat())
    before = keys(real)
    real.client.config_set("maxmemory", str(round(used(real) / 0.95)))
    with pytest.raises(StoreFull, match=r"MiB are used of .* refused from 90% on; submit again later") as caught:
        real.ledger.open(run_of("r", ("parallel", "", 1)))
    assert caught.value.used_bytes > 0.9 * caught.value.limit_bytes
    assert keys(real) == before
    real.client.config_set("maxmemory", str(used(real) * 2))
    assert real.ledger.open(run_of("r", ("parallel", "", 1))).created


def test_the_share_is_a_setting(real: RealSite) -> None:
    real.client.config_set("maxmemory", str(used(real) * 3))
    assert real.ledger.open(run_of("r", ("parallel", "", 1))).created
    strict = Ledger(real.settings.model_copy(update={"memory_share": 0.2}), url=real.url)
    with pytest.raises(StoreFull):
        strict.open(run_of("q", ("parallel", "", 1)))
    strict.close()


def test_what_was_staged_of_a_large_run_is_taken_back(real: RealSite, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of("r", ("parallel", "", 1_800))
    staged: list[int] = []
    check = real.ledger._check_room

    def shrink_after_one(reply: list[object]) -> None:
        staged.append(int(real.client.hlen(f"{key_root('stepline')}run:r")))
        if len(staged) == 1:
            real.client.config_set("maxmemory", str(round(used(real) / 0.95)))
        check(reply)

    monkeypatch.setattr(real.ledger, "_check_room", shrink_after_one)
    with pytest.raises(StoreFull):
        real.ledger.open(run)
    assert staged == [500, 0]
    assert not real.client.exists(f"{key_root('stepline')}run:r")


def test_a_run_that_is_there_is_returned_by_a_full_redis_too(real: RealSite) -> None:
    run = run_of("r", ("parallel", "", 1), key="k", digest="d")
    real.ledger.open(run)
    with full(real):
        assert not real.ledger.open(run).created
        assert real.ledger.open(run_of("q", ("parallel", "", 1), key="k", digest="d")).run_id == "r"


def test_every_verb_that_ends_accepted_work_goes_on_in_a_full_redis(real: RealSite) -> None:
    ledger = real.ledger
    ledger.open(run_of("r", ("critical", "a", 2), ("parallel", "", 2)), inbox="me")
    for name in ("cancelled", "paused"):
        ledger.open(run_of(name, ("parallel", "", 2)))
    with full(real):
        ledger.tick(Beat("w", "join", "critical", known={"S": "{}"}))
        assert ledger.watch("me", ["r"]) == {"r": "open"}
        (first,) = _claimed(ledger, "r", 0)
        (second,) = ledger.settle_and_claim_next("r", 0, [ok(first)], worker="w", want=1).next.steps
        assert ledger.settle("r", 0, [ok(second)], worker="w", vacated=False).accepted == (True,)
        ledger.vacate("r", second.index, second.fence)
        assert ledger.settle("r", 1, [ok(step) for step in _claimed(ledger, "r", 1)], worker="w").accepted == (
            True,
            True,
        )
        assert ledger.read("r").is_settled
        assert json.loads(real.client.lpop(ledger.inbox_key("me")))["run"] == "r"
        ledger.cancel_step("cancelled", 0, "why")
        ledger.cancel("cancelled", "why")
        ledger.pause("paused")
        ledger.resume("paused")
        assert ledger.status(["cancelled"])[0] is not None
        assert ledger.tick(Beat("w", "beat", "critical")).standing == "alive"
        assert ledger.purge(before_ms=2**53) == 2


def _claimed(ledger: Ledger, run: str, parcel: int) -> tuple[ClaimedStep, ...]:
    claimed = ledger.claim(run, parcel, worker="w", want=2, with_meta=False)
    assert claimed is not None
    return claimed.steps


def test_what_becomes_ready_is_published_in_a_full_redis(real: RealSite) -> None:
    with full(real):
        assert real.publisher.publish([Ready("r", 0, "parallel", 1)])
        assert real.publisher.publish([Ready("r", 1, "critical", 1), Ready("r", 2, "parallel", 2)])
        assert (real.messages("critical"), real.messages("parallel")) == (1, 3)
        assert all(key.startswith(b"stepline:broker:") for key in keys(real))


def test_a_server_that_makes_no_exceptions_is_taken_at_its_word(
    real: RealSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_client, "IN_SPITE_OF_LIMIT", "#!no such thing\n")
    with full(real):
        assert not real.publisher.publish([Ready("r", 0, "parallel", 1)])
    assert real.publisher.publish([Ready("r", 0, "parallel", 1)])
