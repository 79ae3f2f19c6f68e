"""How many steps a threads worker runs at once, whatever parcels they came in."""

import threading
from collections.abc import Callable


class Slots:
    """Places for running steps, shared by all parcels of a worker.

    Args:
        count: How many steps may run at once.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._freed = threading.Condition()
        self._was_refused = False
        self._tell_room: Callable[[], object] = lambda: None

    def has_room(self) -> bool:
        """Whether a place is free; after a no, the callback of `on_room` is called when one comes free."""
        if self._free > 0:
            return True
        with self._freed:
            self._was_refused = self._free == 0
            return not self._was_refused

    def on_room(self, tell: Callable[[], object]) -> None:
        """Have ``tell`` called, from any thread, when a place comes free after `has_room` said no."""
        self._tell_room = tell

    def take(self, wanted: int, *, timeout_s: float | None) -> int:
        """Take up to ``wanted`` places; waits up to ``timeout_s`` for the first and returns 0 where none came free."""
        with self._freed:
            if self._free == 0 and timeout_s != 0:
                self._freed.wait_for(lambda: self._free > 0, timeout_s)
            taken = min(wanted, self._free)
            self._free -= taken
            return taken

    def give_back(self, count: int) -> None:
        """Free so many places."""
        if not count:
            return
        with self._freed:
            self._free += count
            self._freed.notify(count)
            is_awaited, self._was_refused = self._was_refused, False
        if is_awaited:
            self._tell_room()
