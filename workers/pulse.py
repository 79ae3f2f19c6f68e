"""Memory in which a worker says that it lives, for the processes in which it runs steps.

A worker that stands still cannot stop them, and after a lease its steps begin elsewhere. So they look after themselves.
"""

import mmap
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

END_EARLY_S: Final = 1.0
"""So long before the lease of a worker that stands still would lapse, what it runs ends; or half of a short lease."""

TURN_EVERY_S: Final = 0.1
"""How often a worker shows that it does not stand still."""

LOOK_EVERY_S: Final = 0.05
"""How often it is looked after one that may."""

_CONFIRMED: Final = 0
_TURNED: Final = 1
_LEASE: Final = 2
_BYTES: Final = 24


class Pulse:
    """When the last heartbeat that the ledger has confirmed was sent, and when the worker last turned; monotonic times.

    A worker is lost that stands still and whose lease is about to lapse. One that goes on without an answer of Redis is
    not: Redis may be away for all, then nobody takes over, and what runs must not be ended for nothing.

    Args:
        descriptor: Of the memory; `make` makes it.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor: Final = descriptor
        self._times = memoryview(mmap.mmap(descriptor, _BYTES)).cast("d")
        lease_s = self._times[_LEASE]
        self._ends_after_s = lease_s - min(END_EARLY_S, lease_s / 2)
        self._still_after_s = self._ends_after_s / 2

    @classmethod
    def make(cls, lease_s: float) -> "Pulse":
        """Return a new one, for a worker with this lease."""
        descriptor = os.memfd_create("stepline-pulse")
        os.ftruncate(descriptor, _BYTES)
        memoryview(mmap.mmap(descriptor, _BYTES)).cast("d")[_LEASE] = lease_s
        return cls(descriptor)

    def confirm(self, sent_s: float) -> None:
        """The ledger has confirmed a heartbeat that was sent then."""
        self._times[_CONFIRMED] = sent_s

    def turn(self, now_s: float) -> None:
        """The worker does not stand still."""
        self._times[_TURNED] = now_s

    def has_left_s(self, now_s: float) -> float:
        """Return for how long the worker cannot be lost, whatever happens to it."""
        return self._times[_CONFIRMED] + self._ends_after_s - now_s

    def is_lost(self, now_s: float) -> bool:
        """Whether what the worker runs must end now."""
        return self.has_left_s(now_s) <= 0 and now_s - self._times[_TURNED] > self._still_after_s

    def is_heard(self, now_s: float, within_s: float) -> bool:
        """Whether a heartbeat was confirmed that was sent so short a time ago."""
        return now_s - self._times[_CONFIRMED] <= within_s

    def next_look_s(self, now_s: float) -> float:
        """Return after how long `is_lost` is to be asked again."""
        return max(LOOK_EVERY_S, self.has_left_s(now_s))

    # threads ------------------------------------------------------------------------------------------------------

    def show(self) -> None:
        """Show from now on that this process does not stand still."""
        threading.Thread(target=self._show, name="stepline-pulse", daemon=True).start()

    def watch(self, when_lost: Callable[[], object]) -> None:
        """Have ``when_lost`` called, on a thread, as long as the worker is lost."""
        threading.Thread(target=self._watch, args=(when_lost,), name="stepline-pulse", daemon=True).start()

    def _show(self) -> None:
        while True:
            self.turn(time.monotonic())
            time.sleep(TURN_EVERY_S)

    def _watch(self, when_lost: Callable[[], object]) -> None:
        # A signal that is meant for a step must not be taken by this thread: the step's sleep would not end.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            time.sleep(self.next_look_s(time.monotonic()))
            if self.is_lost(time.monotonic()):
                when_lost()
