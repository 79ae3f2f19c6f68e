"""Which workers have stopped beating, on the keeper's own clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.leases import Leases
from workers.outage import LONGEST_PAUSE_S, RECONNECT_S

LEASE_S = 5.0
HEARTBEAT_S = 1.0
GRACE_S = HEARTBEAT_S + RECONNECT_S
SWIFT_S = 0.001
"""What an answer takes."""

DEAD = (("w", 7),)


def _leases() -> Leases:
    return Leases(LEASE_S, grace_s=GRACE_S)


def _note(leases: Leases, beat: int, at_s: float, *, took_s: float = 0.0) -> tuple[tuple[str, int], ...]:
    return leases.note({"w": beat}, asked_s=at_s, answered_s=at_s + took_s)


def test_a_worker_that_beats_is_never_reported() -> None:
    leases = _leases()
    assert not any(_note(leases, beat, beat * 4.0) for beat in range(20))


def test_a_worker_is_reported_after_a_whole_lease_at_the_same_beat() -> None:
    leases = _leases()
    assert _note(leases, 7, 100.0) == ()
    assert leases.next_lapse_s == LEASE_S
    assert _note(leases, 7, 104.9) == ()
    assert leases.next_lapse_s == pytest.approx(0.1)
    assert _note(leases, 7, 105.0) == DEAD
    assert leases.next_lapse_s is None
    assert _note(leases, 8, 105.1) == ()
    assert _note(leases, 8, 110.0) == ()


def test_only_those_whose_lease_has_lapsed_are_reported() -> None:
    leases = _leases()
    leases.note({"still": 1, "beating": 1}, asked_s=0.0, answered_s=0.0)
    assert leases.note({"still": 1, "beating": 2, "new": 1}, asked_s=6.0, answered_s=6.0) == (("still", 1),)


def test_the_time_that_an_answer_takes_does_not_count() -> None:
    leases = _leases()
    _note(leases, 7, 0.0)
    assert _note(leases, 7, 4.0, took_s=0.9) == ()
    assert _note(leases, 7, 5.8) == ()
    assert _note(leases, 7, 5.95) == DEAD


def test_a_keeper_that_stood_still_itself_does_not_count_that_time() -> None:
    leases = Leases(LEASE_S, grace_s=GRACE_S, most_s=2.0)
    _note(leases, 7, 0.0)
    assert _note(leases, 7, 1000.0) == ()
    assert leases.next_lapse_s == LEASE_S - 2.0


@pytest.mark.parametrize(
    ("still_s", "outage_s", "left_s"),
    [
        (0.0, 0.5, LEASE_S),
        (2.0, 0.5, 3.0),
        (2.0, 1000.0, 3.0),
        (4.0, 0.5, GRACE_S),
        (4.9, 0.5, GRACE_S),
        (5.0, 0.5, 0.0),
        (9.0, 1000.0, 0.0),
    ],
    ids=["just seen", "half", "half, long", "less than the grace", "next to nothing", "lapsed", "lapsed, long"],
)
def test_an_outage_stops_the_clock_and_leaves_the_living_time_to_beat(
    still_s: float, outage_s: float, left_s: float
) -> None:
    leases = _leases()
    _note(leases, 7, 0.0)
    _note(leases, 7, still_s)
    leases.pause()
    back_s = still_s + outage_s
    assert _note(leases, 7, back_s) == (() if left_s else DEAD)
    assert _note(leases, 7, back_s + max(0.0, left_s - 0.01)) == (() if left_s else DEAD)
    assert _note(leases, 7, back_s + left_s + 0.01) == DEAD


def test_who_beats_after_an_outage_has_a_whole_lease_again() -> None:
    leases = _leases()
    _note(leases, 7, 0.0)
    _note(leases, 7, 6.0)
    leases.pause()
    assert _note(leases, 8, 8.0) == ()
    assert leases.next_lapse_s == LEASE_S


def test_a_counter_that_fell_is_no_beat_but_leaves_the_living_time_to_beat() -> None:
    leases = _leases()
    _note(leases, 700, 0.0)
    _note(leases, 700, 4.0)
    assert _note(leases, 7, 4.5) == ()
    assert leases.next_lapse_s == GRACE_S
    assert _note(leases, 7, 6.5) == DEAD


def test_nothing_seen_before_it_forgets_counts() -> None:
    leases = _leases()
    _note(leases, 7, 0.0)
    leases.forget()
    assert _note(leases, 7, 100.0) == ()
    assert _note(leases, 7, 104.0) == ()
    assert _note(leases, 7, 105.0) == DEAD


def test_a_worker_that_left_and_came_back_starts_anew() -> None:
    leases = _leases()
    _note(leases, 7, 0.0)
    leases.note({}, asked_s=1.0, answered_s=1.0)
    assert _note(leases, 7, 6.0) == ()


@dataclass(frozen=True)
class Spell:
    """Redis answers for a while, then it does not."""

    up_s: float
    down_s: float


SPELLS = st.lists(st.builds(Spell, up_s=st.floats(0.0, 9.0), down_s=st.floats(0.01, 4.0)), max_size=3)
PAUSES = st.lists(st.floats(0.05, LONGEST_PAUSE_S), min_size=1, max_size=5)
LONG_PAUSES = st.lists(st.floats(0.05, RECONNECT_S - 0.2), min_size=1, max_size=5)


class Site:
    """A Redis that comes and goes, a worker that beats as well as it can, and the keeper that looks at it."""

    def __init__(self, spells: Sequence[Spell]) -> None:
        self.outages: list[tuple[float, float]] = []
        at_s = 0.0
        for spell in spells:
            self.outages.append((at_s + spell.up_s, at_s + spell.up_s + spell.down_s))
            at_s += spell.up_s + spell.down_s
        self._whole_s = at_s

    def is_down(self, at_s: float) -> bool:
        return any(from_s <= at_s < to_s for from_s, to_s in self.outages)

    def beats(self, pauses: Sequence[float], *, dies_s: float) -> list[float]:
        """Return when the worker beats: every second, and soon again where Redis did not answer."""
        found, at_s, again = [], 0.0, cycle(pauses)
        while at_s < min(dies_s, self._whole_s + 4 * LEASE_S):
            if self.is_down(at_s):
                at_s += next(again)
            else:
                found.append(at_s)
                at_s += HEARTBEAT_S
        return found

    def reported_s(self, beats: Sequence[float], pauses: Sequence[float]) -> float | None:
        """Return when the keeper reports the worker; None where it never does."""
        leases, at_s, again = _leases(), 0.0, cycle(pauses)
        while at_s < max(self._whole_s, beats[-1] if beats else 0.0) + 3 * LEASE_S:
            if self.is_down(at_s):
                leases.pause()
                at_s += next(again)
                continue
            beat = sum(beat_s <= at_s for beat_s in beats)
            if leases.note({"w": beat}, asked_s=at_s, answered_s=at_s + SWIFT_S):
                return at_s
            at_s += SWIFT_S + max(SWIFT_S, min(HEARTBEAT_S, leases.next_lapse_s or HEARTBEAT_S))
        return None


@given(spells=SPELLS, its_pauses=LONG_PAUSES, pauses=PAUSES)
def test_a_live_worker_is_never_reported(spells: list[Spell], its_pauses: list[float], pauses: list[float]) -> None:
    site = Site(spells)
    beats = [*site.beats(its_pauses, dies_s=inf)]
    reported_s = site.reported_s(beats, pauses)
    assert reported_s is None or reported_s > beats[-1] + LEASE_S - HEARTBEAT_S  # only once the story has ended


@given(spells=SPELLS, its_pauses=LONG_PAUSES, pauses=PAUSES, dies_s=st.floats(0.0, 30.0))
def test_a_dead_worker_is_reported_after_a_lease_and_what_outages_cost(
    spells: list[Spell], its_pauses: list[float], pauses: list[float], dies_s: float
) -> None:
    site = Site(spells)
    beats = site.beats(its_pauses, dies_s=dies_s)
    reported_s = site.reported_s(beats, pauses)
    assert reported_s is not None
    last_s = beats[-1] if beats else 0.0
    met = [(from_s, to_s) for from_s, to_s in site.outages if to_s > last_s and from_s < reported_s]
    away_s = sum(to_s - from_s for from_s, to_s in met)
    unseen_s = HEARTBEAT_S + LONGEST_PAUSE_S  # until it was noticed, and until the next try
    most_s = HEARTBEAT_S + LEASE_S + away_s + len(met) * unseen_s + (GRACE_S if met else 0.0) + 0.1
    assert LEASE_S - SWIFT_S <= reported_s - last_s <= most_s
