"""The pulse of a worker: who looks at it knows when what the worker runs must end."""

import os
import signal
import time

import pytest

from tests.support.forks import code_of, forked
from tests.support.processes import wait_until
from workers import pulse as pulse_module
from workers.processes import has_ended
from workers.pulse import Pulse

LEASE_S = 5.0
WAIT_S = 20.0
TOLD = 7


@pytest.fixture
def pulse() -> Pulse:
    pulse = Pulse.make(LEASE_S)
    pulse.confirm(100.0)
    pulse.turn(100.2)
    return pulse


def test_a_worker_that_stands_still_is_lost_a_second_before_its_lease_would_lapse(pulse: Pulse) -> None:
    assert not pulse.is_lost(103.9)
    assert pulse.is_lost(104.0)
    assert pulse.has_left_s(101.0) == pytest.approx(3.0)


def test_one_that_hears_nothing_of_redis_is_not_lost_as_long_as_it_does_not_stand_still(pulse: Pulse) -> None:
    for now_s in range(101, 200):
        pulse.turn(now_s - 0.1)
        assert not pulse.is_lost(now_s)
    assert not pulse.is_lost(200.8)
    assert pulse.is_lost(201.0)


def test_one_whose_beats_are_confirmed_is_not_lost_even_if_it_did_not_turn(pulse: Pulse) -> None:
    pulse.confirm(110.0)
    assert not pulse.is_lost(113.9)


@pytest.mark.parametrize(("lease_s", "ends_after_s"), [(0.5, 0.25), (2.0, 1.0), (3.0, 2.0), (60.0, 59.0)])
def test_half_of_a_short_lease_is_kept_for_the_end(lease_s: float, ends_after_s: float) -> None:
    pulse = Pulse.make(lease_s)
    pulse.confirm(100.0)
    assert pulse.has_left_s(100.0) == pytest.approx(ends_after_s)


def test_one_is_heard_whose_beat_was_confirmed_lately(pulse: Pulse) -> None:
    assert pulse.is_heard(102.0, within_s=2.0)
    assert not pulse.is_heard(102.1, within_s=2.0)


def test_it_is_looked_at_seldom_until_it_may_be_lost(pulse: Pulse) -> None:
    assert pulse.next_look_s(100.5) == pytest.approx(3.5)
    assert pulse.next_look_s(120.0) == pulse_module.LOOK_EVERY_S


def test_another_process_sees_it_by_its_descriptor(pulse: Pulse) -> None:
    def look() -> None:
        other = Pulse(pulse.descriptor)
        assert (other.has_left_s(100.0), other.is_lost(150.0)) == (pulse.has_left_s(100.0), True)
        other.confirm(149.0)

    with forked(look) as child:
        assert code_of(child) == 0
    assert not pulse.is_lost(150.0)


def test_one_that_shows_itself_is_not_lost_and_who_watches_it_is_told_when_it_shows_itself_no_more() -> None:
    pulse = Pulse.make(0.5)

    def show() -> None:
        pulse.show()
        signal.pause()

    def watch() -> None:
        pulse.watch(lambda: os._exit(TOLD))
        signal.pause()

    pulse.turn(time.monotonic())
    with forked(show) as worker, forked(watch) as child:
        wait_until(lambda: pulse.has_left_s(time.monotonic()) < -0.5)
        assert not pulse.is_lost(time.monotonic())
        assert not has_ended(child)
        os.kill(worker, signal.SIGSTOP)
        assert code_of(child) == TOLD
        assert pulse.is_lost(time.monotonic())


def test_who_watches_takes_no_signal_from_the_step() -> None:
    pulse = Pulse.make(LEASE_S)

    def sleep_on() -> None:
        pulse.watch(lambda: None)
        signal.signal(signal.SIGALRM, lambda *_: os._exit(TOLD))
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        time.sleep(WAIT_S)

    with forked(sleep_on) as child:
        assert code_of(child) == TOLD
