"""How many steps a threads worker runs at once, whatever parcels they came in."""

import threading


class Slots:
    """Places for running steps, shared by all parcels of a worker.

    Args:
        count: how many steps may run at once.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count
        self._freed = threading.Condition()

    @property
    def free(self) -> int:
        """How many places are free now."""
        return self._free

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
        if count:
            with self._freed:
                self._free += count
                self._freed.notify(count)
