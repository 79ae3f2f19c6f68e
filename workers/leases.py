"""Tells which workers have stopped beating, by what this keeper has seen itself on its own clock."""

from collections.abc import Mapping


class Leases:
    """Beats of the other workers as one keeper saw them.

    Args:
        lease_s: How long the same beat must have been seen before its worker counts as dead.

    A worker is reported only where every tick of the keeper itself was answered meanwhile: a stalled Redis or a moved
    clock must kill nobody, so the keeper calls `forget` whenever a tick failed or came late.
    """

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._seen: dict[str, tuple[int, float]] = {}

    def note(self, beats: Mapping[str, int], *, now_s: float) -> tuple[tuple[str, int], ...]:
        """Take the beats of an answered tick; returns (worker, beat) of those whose lease has lapsed.

        Args:
            beats: Worker id to its counter.
            now_s: Monotonic time of the answer.
        """
        self._seen = {
            worker: seen if (seen := self._seen.get(worker)) and seen[0] == beat else (beat, now_s)
            for worker, beat in beats.items()
        }
        return tuple((worker, beat) for worker, (beat, since) in self._seen.items() if now_s - since >= self._lease_s)

    def forget(self) -> None:
        """Start anew: nothing seen so far counts."""
        self._seen.clear()
