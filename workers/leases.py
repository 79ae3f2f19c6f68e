"""Tells which workers have stopped beating, by what this keeper has seen itself on its own clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class _Sight:
    """The last beat that was seen of a worker, and how much of its lease was left at the last answer."""

    beat: int
    left_s: float


class Leases:
    """Beats of the other workers as one keeper saw them.

    Args:
        lease_s: How long the same beat must have been seen before its worker counts as dead.
        grace_s: How long after an outage a live worker may need until its next beat.
        most_s: What counts at most of the time between two ticks: where this keeper stood still, its machine may have.

    A stalled Redis or a moved clock must kill nobody, so only the time between an answer and the next question counts.
    An outage stops the clock of every lease and does not start it anew, or a few outages in a row would keep a dead
    worker's steps for ever. Whose lease had already lapsed had its time; every other one gets the grace.
    """

    def __init__(self, lease_s: float, *, grace_s: float = 0.0, most_s: float = inf) -> None:
        self._lease_s = lease_s
        self._grace_s = min(grace_s, lease_s)
        self._most_s = most_s
        self._seen: dict[str, _Sight] = {}
        self._answered_s: float | None = None

    @property
    def next_lapse_s(self) -> float | None:
        """Seconds from the last answer until the next lease lapses if nobody beats; None where there is none."""
        return min((sight.left_s for sight in self._seen.values() if sight.left_s > 0), default=None)

    def note(self, beats: Mapping[str, int], *, asked_s: float, answered_s: float) -> tuple[tuple[str, int], ...]:
        """Take the beats of an answered tick; returns (worker, beat) of those whose lease has lapsed.

        Args:
            beats: Worker id to its counter.
            asked_s: Monotonic time at which the tick was sent.
            answered_s: Monotonic time of its answer.
        """
        passed_s = 0.0 if self._answered_s is None else min(max(0.0, asked_s - self._answered_s), self._most_s)
        self._answered_s = answered_s
        self._seen = {worker: self._sight(worker, beat, passed_s) for worker, beat in beats.items()}
        return tuple((worker, sight.beat) for worker, sight in self._seen.items() if sight.left_s <= 0)

    def pause(self) -> None:
        """Count nothing from the last answer to the next one, and leave everybody time to beat after it."""
        self._answered_s = None
        self._seen = {worker: _Sight(sight.beat, self._spared_s(sight.left_s)) for worker, sight in self._seen.items()}

    def forget(self) -> None:
        """Start anew: nothing seen so far counts."""
        self._answered_s = None
        self._seen.clear()

    def _sight(self, worker: str, beat: int, passed_s: float) -> _Sight:
        seen = self._seen.get(worker)
        if seen is None or beat > seen.beat:
            return _Sight(beat, self._lease_s)
        if beat < seen.beat:  # Redis came back older: no beat, but its counter begins again from there
            return _Sight(beat, self._spared_s(seen.left_s))
        return _Sight(beat, seen.left_s - passed_s)

    def _spared_s(self, left_s: float) -> float:
        return left_s if left_s <= 0 else max(left_s, self._grace_s)
