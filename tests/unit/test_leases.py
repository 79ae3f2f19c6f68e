"""Which workers have stopped beating, on the keeper's own clock."""

from workers.leases import Leases

LEASE_S = 5.0


def test_a_worker_that_beats_is_never_reported() -> None:
    leases = Leases(LEASE_S)
    assert not any(leases.note({"w": beat}, now_s=beat * 4.0) for beat in range(20))


def test_a_worker_is_reported_after_a_whole_lease_at_the_same_beat() -> None:
    leases = Leases(LEASE_S)
    assert leases.note({"w": 7}, now_s=100.0) == ()
    assert leases.note({"w": 7}, now_s=104.9) == ()
    assert leases.note({"w": 7}, now_s=105.0) == (("w", 7),)
    assert leases.note({"w": 8}, now_s=105.1) == ()
    assert leases.note({"w": 8}, now_s=110.0) == ()


def test_only_those_whose_lease_has_lapsed_are_reported() -> None:
    leases = Leases(LEASE_S)
    leases.note({"still": 1, "beating": 1}, now_s=0.0)
    assert leases.note({"still": 1, "beating": 2, "new": 1}, now_s=6.0) == (("still", 1),)


def test_nothing_seen_before_a_tick_that_failed_counts() -> None:
    leases = Leases(LEASE_S)
    leases.note({"w": 1}, now_s=0.0)
    leases.forget()
    assert leases.note({"w": 1}, now_s=100.0) == ()
    assert leases.note({"w": 1}, now_s=104.0) == ()
    assert leases.note({"w": 1}, now_s=105.0) == (("w", 1),)


def test_a_worker_that_left_and_came_back_starts_anew() -> None:
    leases = Leases(LEASE_S)
    leases.note({"w": 1}, now_s=0.0)
    leases.note({}, now_s=1.0)
    assert leases.note({"w": 1}, now_s=6.0) == ()
