"""The soft stop: rings in the window of the call it was set for, and nowhere else."""

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from steps.errors import StepTimeout
from workers.alarm import Alarm

SOON_S = 0.03
LONG_S = 20.0


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    handler = signal.getsignal(signal.SIGALRM)
    yield Alarm()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, handler)


def wait_long() -> str:
    threading.Event().wait(LONG_S)
    return "overslept"


def ring() -> None:
    signal.raise_signal(signal.SIGALRM)


def test_a_call_that_ends_in_time_returns_its_value(alarm: Alarm) -> None:
    assert alarm.call(lambda: "done", LONG_S) == (False, "done")
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_call_that_overruns_is_stopped(alarm: Alarm) -> None:
    began = time.monotonic()
    assert alarm.call(wait_long, SOON_S) == (True, None)
    assert SOON_S <= time.monotonic() - began < LONG_S / 2


def test_a_call_that_takes_the_signal_away_costs_the_next_one_nothing(alarm: Alarm) -> None:
    def take_away() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])

    alarm.call(take_away, LONG_S)
    assert alarm.call(wait_long, SOON_S) == (True, None)


def test_a_time_out_of_nothing_rings_too(alarm: Alarm) -> None:
    assert alarm.call(wait_long, 0.0) == (True, None)


def test_what_the_call_raises_is_passed_on(alarm: Alarm) -> None:
    with pytest.raises(ZeroDivisionError):
        alarm.call(lambda: 1 // 0, LONG_S)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    ring()


def test_a_time_out_of_somebody_else_is_passed_on(alarm: Alarm) -> None:
    def raise_own() -> None:
        raise StepTimeout(1.0)

    with pytest.raises(StepTimeout):
        alarm.call(raise_own, LONG_S)


def test_it_rings_neither_before_nor_after_the_call(alarm: Alarm) -> None:
    ring()
    alarm.call(lambda: None, LONG_S)
    ring()
    alarm.call(wait_long, SOON_S)
    ring()


def test_an_early_ring_that_is_not_meant_for_the_call_lets_it_go_on(alarm: Alarm) -> None:
    def ring_and_go_on() -> tuple[str, bool]:
        ring()
        return "done", 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= LONG_S

    assert alarm.call(ring_and_go_on, LONG_S) == (False, ("done", True))


def test_after_an_early_ring_the_time_is_still_up_when_it_is_up(alarm: Alarm) -> None:
    def ring_and_wait() -> str:
        ring()
        return wait_long()

    assert alarm.call(ring_and_wait, SOON_S) == (True, None)


def test_an_early_ring_that_is_meant_for_the_call_stops_it(alarm: Alarm) -> None:
    began = time.monotonic()
    assert alarm.call(ring, LONG_S, is_stopped=lambda: True) == (True, None)
    assert time.monotonic() - began < LONG_S / 2


def test_a_call_that_swallows_its_time_out_has_overrun_all_the_same(alarm: Alarm) -> None:
    def swallow() -> str:
        try:
            return wait_long()
        except StepTimeout as error:
            return f"cleaned up after {error.timeout_s:g} s"

    assert alarm.call(swallow, SOON_S) == (True, None)
    assert alarm.call(lambda: "the next one is not concerned", LONG_S)[0] is False


def test_a_call_that_answers_its_time_out_with_another_error_raises_that(alarm: Alarm) -> None:
    def misread() -> None:
        try:
            wait_long()
        except StepTimeout as error:
            raise ConnectionError("as if it were ours") from error

    with pytest.raises(ConnectionError):
        alarm.call(misread, SOON_S)
