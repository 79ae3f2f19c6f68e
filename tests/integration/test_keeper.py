"""Keepers on a real Redis: they see to what time demands."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from steps.ledger.records import Beat, ClaimedStep
from tests.support.ledger_story import ok, retry, run_of
from tests.support.processes import wait_until
from tests.support.real_redis import RealSite
from workers.keeper import Keeper, KeeperCard
from workers.nudge import Nudge
from workers.received import Received
from workers.side_parcel import HeldSteps


@contextmanager
def kept(real: RealSite, worker: str = "keeper", nudge: Nudge | None = None) -> Iterator[list[str]]:
    """Run a keeper for the block; yields a list that tells when it is taken for dead."""
    deaths: list[str] = []
    nudge = nudge or Nudge()
    keeper = Keeper(
        ledger=real.ledger,
        publisher=real.publisher,
        settings=real.settings,
        card=KeeperCard(worker, "critical", "{}", {"GetStep": "{}"}, Received("critical", nudge.set)),
        held=HeldSteps(),
        declared_dead=lambda: deaths.append(worker),
        nudge=nudge,
    )
    keeper.join()
    keeper.start()
    try:
        yield deaths
    finally:
        keeper.leave()


def claim(real: RealSite, run: str, worker: str) -> ClaimedStep:
    claimed = real.ledger.claim(run, 0, worker=worker, want=1, with_meta=False)
    assert claimed is not None
    return claimed.steps[0]


def queued(real: RealSite) -> int:
    return real.messages("critical")


def test_a_worker_is_there_from_its_join_to_its_leave(real: RealSite) -> None:
    with kept(real):
        assert [card.worker_id for card in real.ledger.site.workers()] == ["keeper"]
        assert real.ledger.site.known_steps() == {"GetStep": b"{}"}
    assert real.ledger.site.workers() == ()


def test_the_steps_of_a_worker_that_beats_no_more_are_published_again(real: RealSite) -> None:
    real.ledger.tick(Beat("still", "join", "critical"))
    real.ledger.open(run_of("r", ("critical", "a", 1)))
    claim(real, "r", "still")
    with kept(real):
        wait_until(lambda: queued(real) == 1)
        assert [card.worker_id for card in real.ledger.site.workers()] == ["keeper"]
        assert real.client.hget("stepline:v1:run:r", "s0").split(b"|")[2] == b"1"


def test_two_keepers_do_not_take_each_other_for_dead(real: RealSite) -> None:
    with kept(real, "one") as deaths, kept(real, "two") as more:
        beats = real.ledger.tick(Beat("third", "leave")).beats
        wait_until(lambda: min(_since(real, beats).values()) > 2 * real.settings.lease_s / real.settings.heartbeat_s)
        assert (deaths, more) == ([], [])


def _since(real: RealSite, beats: dict[str, int]) -> dict[str, int]:
    now = real.ledger.tick(Beat("third", "leave")).beats
    return {worker: now[worker] - beat for worker, beat in beats.items()}


def test_a_worker_taken_for_dead_is_told(real: RealSite) -> None:
    with kept(real) as deaths:
        real.client.delete("stepline:v1:worker:keeper")
        wait_until(lambda: deaths)


def test_a_retry_is_published_when_it_is_due(real: RealSite) -> None:
    nudge = Nudge()
    with kept(real, nudge=nudge):
        real.ledger.open(run_of("r", ("critical", "a", 1)))
        step = claim(real, "r", "keeper")
        real.ledger.settle("r", 0, [retry(step, 0.03)], worker="keeper")
        nudge.set()
        wait_until(lambda: queued(real) == 1)


def test_a_deadline_fires(real: RealSite) -> None:
    with kept(real):
        real.ledger.open(run_of("r", ("critical", "a", 2), deadline_s=0.05))
        wait_until(lambda: real.ledger.read("r").is_settled)


def test_a_parcel_that_nobody_published_is_published(real: RealSite) -> None:
    real.ledger.open(run_of("r", ("critical", "a", 1)))
    with kept(real):
        wait_until(lambda: queued(real) == 1)


def test_a_lost_message_is_sent_again_once_its_queue_is_empty(real: RealSite) -> None:
    opened = real.ledger.open(run_of("r", ("critical", "a", 1)))
    real.publisher.publish(opened.ready)
    with kept(real):
        wait_until(lambda: _looks(real) >= 2)
        assert queued(real) == 2  # One waits there, so it may be this one's: a probe stands behind it.
        real.client.delete(real.queue_key("critical"))
        wait_until(lambda: queued(real) == 1)


def _looks(real: RealSite) -> int:
    return int(real.client.hget("stepline:v1:run:r", "ck0") or 0)


def test_what_a_leaving_worker_holds_is_published_at_once(real: RealSite) -> None:
    with kept(real):
        real.ledger.open(run_of("r", ("critical", "a", 1)))
        step = claim(real, "r", "keeper")
    assert queued(real) == 1
    assert real.ledger.settle("r", 0, [ok(step)], worker="keeper").accepted == (False,)


def test_a_keeper_goes_on_when_redis_is_back(real: RealSite, caplog: pytest.LogCaptureFixture) -> None:
    with kept(real):
        real.client.config_set("maxclients", 1)
        real.client.client_kill_filter(_type="normal", skipme=True)
        wait_until(lambda: "no heartbeat" in caplog.text)
        real.client.config_set("maxclients", 1000)
        real.ledger.open(run_of("r", ("critical", "a", 1)))
        wait_until(lambda: queued(real) == 1)
