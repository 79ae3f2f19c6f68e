"""What a worker has got from its queue: parcels that are not acknowledged yet, and probes."""

import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

LISTED_AT_ONCE: Final = 64
"""Parcels that may be listed before those that have been acknowledged are looked for."""


class Message(Protocol):
    """A message of kombu's, as far as it matters here."""

    @property
    def acknowledged(self) -> bool:
        """Whether it was acknowledged, or given back."""
        ...


class Received:
    """Lists what the consumer takes in, for the keeper to tell the ledger: what is listed here is late and not lost.

    Args:
        queue: The one that the worker serves.
        nudge: Wakes the keeper.
    """

    def __init__(self, queue: str, nudge: Callable[[], object]) -> None:
        self._queue = queue
        self._nudge = nudge
        self._lock = threading.Lock()
        self._listed: list[tuple[Message, str]] = []
        self._look_at = LISTED_AT_ONCE
        self._came_out: dict[str, int] = {}

    def add(self, message: Any, run_id: str, number: int) -> None:
        """List a parcel until its message is acknowledged."""
        with self._lock:
            self._listed.append((message, f"{run_id}:{number}"))
            if len(self._listed) >= self._look_at:
                self._forget_acknowledged()
                self._look_at = LISTED_AT_ONCE + 2 * len(self._listed)

    def parcels(self) -> tuple[str, ...]:
        """Return ``run:parcel`` of each that is listed."""
        with self._lock:
            self._forget_acknowledged()
            return tuple(name for _, name in self._listed)

    def forget_all(self) -> None:
        """The connection is a new one: the broker gives the messages of the old one to somebody else."""
        with self._lock:
            self._listed.clear()

    def come_out(self, probe: int) -> None:
        """This probe came out of the queue: have the ledger know at once."""
        self.need_not_wait(self._queue, probe)
        self._nudge()

    def need_not_wait(self, queue: str, probe: int) -> None:
        """Nothing is in a queue, so this probe of it need not be sent."""
        with self._lock:
            self._came_out[queue] = max(probe, self._came_out.get(queue, 0))

    def came_out(self) -> tuple[tuple[str, int], ...]:
        """Return (queue, probe) of the last ones, again until `acknowledge`."""
        with self._lock:
            return tuple(self._came_out.items())

    def acknowledge(self, probes: tuple[tuple[str, int], ...]) -> None:
        """Take note that the ledger knows of these."""
        with self._lock:
            for queue, probe in probes:
                if self._came_out.get(queue) == probe:
                    del self._came_out[queue]

    def _forget_acknowledged(self) -> None:
        self._listed = [(message, name) for message, name in self._listed if not message.acknowledged]
