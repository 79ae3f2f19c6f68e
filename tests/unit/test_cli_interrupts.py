"""The first signal interrupts, later ones do not disturb the clean-up, and the handlers are given back."""

import os
import signal
import threading

import pytest

from producer.cli.interrupts import SIGNALS, Interrupts


@pytest.mark.parametrize("signum", SIGNALS)
def test_the_first_signal_interrupts_and_the_second_does_not(signum: signal.Signals) -> None:
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            _send(signum)
        assert not interrupts.armed
        _send(signum)


def test_no_signal_disturbs_the_clean_up() -> None:
    with Interrupts() as interrupts:
        assert interrupts.armed
        interrupts.disarm()
        _send(signal.SIGTERM)


def test_the_handlers_are_given_back() -> None:
    before = [signal.getsignal(signum) for signum in SIGNALS]
    with Interrupts():
        assert [signal.getsignal(signum) for signum in SIGNALS] != before
    assert [signal.getsignal(signum) for signum in SIGNALS] == before


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def _send(signum: signal.Signals) -> None:
    os.kill(os.getpid(), signum)
    threading.Event().wait(0.01)  # Python runs a handler between two instructions: give it some.
