"""The keeper: what it tells the ledger, and what it does with the answers."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from steps.errors import BrokerUnavailable
from steps.ledger.records import Beat, Ready, Ticked
from tests.support.ledgers import fast_settings
from tests.support.processes import WAIT_S, wait_until
from tests.support.worker_kits import RecordingPublisher
from workers import keeper as keeper_module
from workers.keeper import Keeper, KeeperCard
from workers.nudge import Nudge
from workers.received import Received

ALIVE = Ticked("alive", (), (), (), None, (), {})
KNOWN = {"GetStep": "{}"}
NEVER_S = 3600.0


def ready(run_id: str, queue: str = "parallel") -> Ready:
    return Ready(run_id, 0, queue, 1)


class FakeLedger:
    """Answers ticks from a list, then always the same."""

    def __init__(self) -> None:
        self.beats: list[Beat] = []
        self.answers: deque[Ticked | Exception] = deque()
        self.usual = ALIVE
        self.finished: list[tuple[str, ...]] = []
        self.before_answer: Callable[[], None] = lambda: None

    def tick(self, beat: Beat) -> Ticked:
        self.before_answer()
        answer = self.answers.popleft() if self.answers else self.usual
        self.beats.append(beat)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def finish(self, run_ids: tuple[str, ...]) -> tuple[Ready, ...]:
        self.finished.append(tuple(run_ids))
        return tuple(ready(f"after {run_id}") for run_id in run_ids)


class FakeHeld:
    def __init__(self) -> None:
        self.stopped: list[tuple[str, int]] = []

    def names(self) -> tuple[str, ...]:
        return ("r:0",)

    def stop(self, run_id: str, index: int) -> None:
        self.stopped.append((run_id, index))


class FakeChildren(FakeHeld):
    def __init__(self) -> None:
        super().__init__()
        self.tended = 0
        self.dead: tuple[tuple[str, int], ...] = ()

    def tend(self) -> None:
        self.tended += 1

    def dead_claims(self) -> tuple[tuple[str, int], ...]:
        return self.dead

    def acknowledge(self, claims: tuple[tuple[str, int], ...]) -> None:
        self.dead = tuple(claim for claim in self.dead if claim not in claims)


class Rig:
    """A keeper with nothing real around it."""

    def __init__(self, *, heartbeat_s: float = 0.05, children: FakeChildren | None = None, **settings: Any) -> None:
        self.ledger, self.publisher, self.held = FakeLedger(), RecordingPublisher(), FakeHeld()
        self.nudge = Nudge()
        self.received = Received("parallel", self.nudge.set)
        self.deaths = self.ticks = 0
        self.keeper = Keeper(
            ledger=self.ledger,  # type: ignore[arg-type]
            publisher=self.publisher,  # type: ignore[arg-type]
            settings=fast_settings(heartbeat_s=heartbeat_s, lease_s=max(0.5, 2 * heartbeat_s), **settings),
            card=KeeperCard("w", "parallel", '{"pid":1}', KNOWN, self.received),
            held=self.held,
            declared_dead=self._die,
            nudge=self.nudge,
            children=children,  # type: ignore[arg-type]
            after_tick=self._note_tick,
        )

    def _die(self) -> None:
        self.deaths += 1

    def _note_tick(self, sent_s: float) -> None:
        assert sent_s <= time.monotonic()
        self.ticks += 1

    def wait_for_beats(self, count: int) -> None:
        wait_until(lambda: len(self.ledger.beats) >= count)


@contextmanager
def keeping(rig: Rig) -> Iterator[Rig]:
    rig.keeper.join()
    rig.keeper.start()
    try:
        yield rig
    finally:
        rig.keeper.stop()


def test_it_joins_with_its_steps_beats_and_signs_off() -> None:
    with keeping(Rig()) as rig:
        rig.wait_for_beats(3)
        wait_until(lambda: rig.ticks >= 2)
    rig.keeper.leave()
    modes = [beat.mode for beat in rig.ledger.beats]
    assert modes == ["join", *["beat"] * (len(modes) - 2), "leave"]
    first, second, *_, last = rig.ledger.beats
    assert (first.worker_id, first.queue, first.info, first.known) == ("w", "parallel", '{"pid":1}', KNOWN)
    assert (second.known, last.known) == ({}, {})
    assert all(beat.held == ("r:0",) for beat in rig.ledger.beats)


def test_it_lists_its_steps_again_before_they_are_forgotten() -> None:
    with keeping(Rig(known_steps_ttl_s=1)) as rig:
        wait_until(lambda: any(beat.known == KNOWN for beat in rig.ledger.beats[1:]))


def test_what_was_published_is_marked_in_the_next_beat_only() -> None:
    with keeping(Rig()) as rig:
        rig.publisher.publish([ready("r")])
        wait_until(lambda: any(beat.published for beat in rig.ledger.beats))
        rig.wait_for_beats(len(rig.ledger.beats) + 2)
    assert [beat.published for beat in rig.ledger.beats if beat.published] == [(("r", 0),)]


def test_what_is_ready_is_published_with_what_more_had_to_be_swept() -> None:
    rig = Rig()
    rig.ledger.answers += [ALIVE, replace(ALIVE, ready=(ready("r"),), unfinished=("q",))]
    with keeping(rig):
        wait_until(lambda: len(rig.publisher.sent) == 2)
    assert rig.publisher.sent == [ready("r"), ready("after q")]


def test_what_may_be_lost_is_published_only_where_its_queue_is_empty() -> None:
    rig = Rig()
    rig.publisher.depths = {"critical": 0, "parallel": 3, "elsewhere": None}
    candidates = (ready("r", "critical"), ready("q", "parallel"), ready("p", "elsewhere"), ready("o", "critical"))
    rig.ledger.answers += [ALIVE, replace(ALIVE, maybe_lost=candidates)]
    with keeping(rig):
        wait_until(lambda: rig.publisher.sent)
    assert rig.publisher.sent == [ready("r", "critical"), ready("o", "critical")]


def test_a_probe_is_sent_only_where_its_queue_is_not_empty() -> None:
    rig = Rig()
    rig.publisher.depths = {"critical": 0, "parallel": 3, "elsewhere": None}
    wanted = (("critical", 5), ("parallel", 6), ("elsewhere", 7))
    rig.ledger.answers += [ALIVE, replace(ALIVE, probes=wanted)]
    with keeping(rig):
        wait_until(lambda: any(beat.came_out for beat in rig.ledger.beats))
    assert rig.publisher.probes == [("parallel", 6), ("elsewhere", 7)]
    assert rig.publisher.sent == []
    assert next(beat.came_out for beat in rig.ledger.beats if beat.came_out) == (("critical", 5),)


def test_a_probe_that_came_out_is_told_at_once_and_until_the_ledger_has_answered() -> None:
    rig = Rig(heartbeat_s=NEVER_S / 2)
    rig.ledger.answers += [ALIVE, BrokerUnavailable("away")]
    with keeping(rig):
        rig.received.come_out(5)
        rig.wait_for_beats(2)
        rig.nudge.set()
        rig.wait_for_beats(3)
        rig.nudge.set()
        rig.wait_for_beats(4)
    assert [beat.came_out for beat in rig.ledger.beats[:4]] == [(), (("parallel", 5),), (("parallel", 5),), ()]


def test_what_was_received_is_listed_until_it_is_acknowledged() -> None:
    message = StubMessage()
    with keeping(Rig()) as rig:
        rig.received.add(message, "r", 3)
        wait_until(lambda: rig.ledger.beats[-1].received == ("r:3",))
        message.acknowledged = True
        wait_until(lambda: rig.ledger.beats[-1].received == ())


@pytest.mark.parametrize(("keeps", "told"), [(False, ()), (True, ("r:3",))])
def test_signing_off_it_tells_of_messages_only_if_they_go_down_with_it(keeps: bool, told: tuple[str, ...]) -> None:
    rig = Rig()
    rig.received.add(StubMessage(), "r", 3)
    rig.keeper.leave(keeps_messages=keeps)
    assert [beat.received for beat in rig.ledger.beats] == [told]


class StubMessage:
    acknowledged = False


def test_it_stops_the_steps_it_is_asked_to() -> None:
    rig = Rig()
    rig.ledger.answers += [ALIVE, replace(ALIVE, stops=(("r", 1), ("q", 0)))]
    with keeping(rig):
        wait_until(lambda: len(rig.held.stopped) == 2)
    assert rig.held.stopped == [("r", 1), ("q", 0)]


def test_it_stops_steps_though_redis_is_lost_right_after_it_was_told_to() -> None:
    rig = Rig()
    rig.ledger.answers += [ALIVE, replace(ALIVE, stops=(("r", 1),), unfinished=("q",))]

    def be_away(run_ids: tuple[str, ...]) -> tuple[Ready, ...]:
        if run_ids:
            raise BrokerUnavailable("away")
        return ()

    rig.ledger.finish = be_away  # type: ignore[method-assign]
    with keeping(rig):
        wait_until(lambda: rig.held.stopped)
        rig.wait_for_beats(3)
    assert rig.held.stopped == [("r", 1)]


def test_who_cannot_wait_for_an_answer_is_told_that_a_tick_is_under_way() -> None:
    rig, asked, answered = Rig(), threading.Event(), threading.Event()

    def hang() -> None:
        asked.set()
        assert answered.wait(WAIT_S)

    with keeping(rig):
        rig.ledger.before_answer = hang
        assert asked.wait(WAIT_S)
        assert not rig.keeper.stop(within_s=0.01)
        answered.set()
        assert rig.keeper.stop()


def test_a_nudge_makes_it_beat_at_once() -> None:
    with keeping(Rig(heartbeat_s=NEVER_S / 2)) as rig:
        rig.nudge.set()
        rig.wait_for_beats(2)


def test_it_comes_again_when_something_falls_due() -> None:
    rig = Rig(heartbeat_s=NEVER_S / 2)
    rig.ledger.answers += [replace(ALIVE, next_due_s=0.02), replace(ALIVE, next_due_s=-1.0), ALIVE]
    with keeping(rig):
        rig.wait_for_beats(3)


def test_a_worker_that_stands_still_for_a_lease_is_reaped() -> None:
    rig = Rig()
    rig.ledger.usual = replace(ALIVE, beats={"w": 5, "still": 7})
    with keeping(rig):
        began = time.monotonic()
        wait_until(lambda: any(beat.reap for beat in rig.ledger.beats))
        took_s = time.monotonic() - began
    assert next(beat.reap for beat in rig.ledger.beats if beat.reap) == (("still", 7),)
    assert took_s >= 0.4


@pytest.mark.parametrize("failure", [BrokerUnavailable("away"), ValueError("a bug")], ids=["redis", "bug"])
def test_a_tick_that_fails_ends_nothing_and_nobody_is_reaped_for_it(failure: Exception) -> None:
    rig = Rig()
    rig.ledger.usual = replace(ALIVE, beats={"still": 7})

    def fail_whenever_a_lease_lapses() -> None:
        if rig.ledger.beats and rig.keeper._expired:
            rig.ledger.answers.append(failure)

    rig.ledger.before_answer = fail_whenever_a_lease_lapses
    with keeping(rig):
        wait_until(lambda: rig.ticks and rig.ledger.beats[-1].reap == () and any(b.reap for b in rig.ledger.beats))
    reaping = [bool(beat.reap) for beat in rig.ledger.beats]
    first = reaping.index(True)
    assert reaping[first : first + 2] == [True, False]


def test_a_lapsed_lease_is_acted_on_at_once_and_not_a_heartbeat_later() -> None:
    rig = Rig(heartbeat_s=0.4)  # a lease of 0.8 s
    rig.ledger.usual = replace(ALIVE, beats={"w": 5, "still": 7})
    with keeping(rig):
        began = time.monotonic()
        wait_until(lambda: any(beat.reap for beat in rig.ledger.beats))
        took_s = time.monotonic() - began
    assert 0.7 <= took_s < 1.1
    assert len(rig.ledger.beats) < 20


def test_it_tries_again_soon_where_redis_does_not_answer_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    rig = Rig(heartbeat_s=NEVER_S / 2)
    rig.ledger.answers += [replace(ALIVE, next_due_s=0.01), *[BrokerUnavailable("away")] * 3, ALIVE]
    with keeping(rig):
        wait_until(lambda: "heartbeats again" in caplog.text, 2.0)
    assert caplog.text.count("no heartbeat: away") == 1


def test_a_tick_that_hung_says_nothing_about_the_others() -> None:
    rig = Rig(connect_timeout_s=0.05)
    rig.ledger.usual = replace(ALIVE, beats={"still": 7})

    def hang_now_and_then() -> None:
        if len(rig.ledger.beats) % 4 == 3:
            time.sleep(0.06)
            rig.ledger.answers.append(BrokerUnavailable("hung"))

    rig.ledger.before_answer = hang_now_and_then
    with keeping(rig):
        rig.wait_for_beats(30)
    assert not any(beat.reap for beat in rig.ledger.beats)


def test_while_an_answer_is_waited_for_no_lease_runs_on() -> None:
    rig = Rig()
    rig.ledger.usual = replace(ALIVE, beats={"still": 7})
    rig.ledger.before_answer = lambda: time.sleep(0.1)
    with keeping(rig):
        rig.wait_for_beats(8)
    assert not any(beat.reap for beat in rig.ledger.beats)


def test_it_tells_when_half_of_a_lease_is_over() -> None:
    rig = Rig()
    with keeping(rig):
        rig.wait_for_beats(15)
        assert not rig.keeper.sees_one_dying
        rig.ledger.usual = replace(ALIVE, beats={"still": 7})
        wait_until(lambda: rig.keeper.sees_one_dying)
        assert not any(beat.reap for beat in rig.ledger.beats)


def test_a_worker_declared_dead_is_told_once_and_beats_no_more() -> None:
    rig = Rig()
    rig.ledger.answers += [ALIVE, replace(ALIVE, standing="dead")]
    with keeping(rig):
        wait_until(lambda: not rig.keeper._thread.is_alive())
    assert (rig.deaths, rig.ticks, len(rig.ledger.beats)) == (1, 0, 2)


def test_it_signs_off_until_all_is_given_back() -> None:
    rig = Rig()
    rig.ledger.answers += [replace(ALIVE, standing=standing) for standing in ("leaving", "leaving", "left")]
    rig.keeper.leave()
    assert [beat.mode for beat in rig.ledger.beats] == ["leave"] * 3


def test_it_does_not_sign_off_for_ever() -> None:
    rig = Rig()
    rig.ledger.usual = replace(ALIVE, standing="leaving")
    rig.keeper.leave()
    assert len(rig.ledger.beats) == keeper_module.LEAVE_TRIES


def test_signing_off_without_redis_is_said_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.ledger.answers.append(BrokerUnavailable("away"))
    rig.keeper.leave()
    assert "could not sign off" in caplog.text


def test_a_dead_child_is_reported_soon_and_once() -> None:
    children = FakeChildren()
    with keeping(Rig(heartbeat_s=NEVER_S / 2, children=children)) as rig:
        children.dead = (("r:0", 11),)
        rig.wait_for_beats(2)
        wait_until(lambda: children.tended >= 3)
    assert [beat.dead_claims for beat in rig.ledger.beats] == [(), (("r:0", 11),)]


def test_a_dead_child_is_reported_until_the_ledger_has_answered() -> None:
    children = FakeChildren()
    rig = Rig(children=children)
    rig.ledger.answers += [ALIVE, BrokerUnavailable("away")]
    with keeping(rig):
        children.dead = (("r:0", 11),)
        wait_until(lambda: not children.dead)
    assert [beat.dead_claims for beat in rig.ledger.beats].count((("r:0", 11),)) >= 1
    assert children.dead == ()
