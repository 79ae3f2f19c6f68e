"""Shared memory between a prefork parent and its children."""

import os

from tests.support.forks import code_of, forked
from workers.child_board import SPARE_SLOTS, ChildBoard, Hold

RUN = "018f00000000" + "ab" * 8


def hold_in(slot: int, **changes: object) -> Hold:
    values = {
        "slot": slot,
        "pid": 1234,
        "run_id": RUN,
        "parcel": 3,
        "index": 9_999,
        "fence": 1_795_257_739_517_977,
        "attempt": 2,
        "began_s": 10.25,
        "deadline_s": 40.5,
        "started_ms": 1_795_257_739_517.9,
        "queued_ms": 12.5,
    }
    return Hold(**{**values, **changes})  # type: ignore[arg-type]


def test_what_is_written_is_read() -> None:
    board = ChildBoard(2)
    holds = [hold_in(slot, index=slot) for slot in (0, 3, 7)]
    for hold in holds:
        board.write(hold)
    assert board.holds() == holds


def test_a_cleared_slot_is_empty_and_a_rewritten_one_holds_the_last() -> None:
    board = ChildBoard(1)
    board.write(hold_in(0))
    board.write(hold_in(1, run_id="another"))
    board.write(hold_in(1, run_id="r", fence=2))
    board.clear(0)
    assert board.holds() == [hold_in(1, run_id="r", fence=2)]


def test_what_is_given_back_is_still_held_and_said_to_be() -> None:
    board = ChildBoard(1)
    assert not board.give_back(0)
    board.write(hold_in(0, retry_s=2.5))
    assert board.give_back(0)
    assert board.holds() == [hold_in(0, retry_s=2.5, is_given_back=True)]
    assert board.free_slot(0) == 1
    board.clear(0)
    assert board.holds() == []


def test_every_child_has_slots_of_its_own() -> None:
    board = ChildBoard(3)
    taken = []
    for _ in range(SPARE_SLOTS):
        for child in range(3):
            slot = board.free_slot(child)
            board.write(hold_in(slot))
            taken.append(slot)
    assert sorted(taken) == list(range(3 * SPARE_SLOTS))


def test_a_child_finds_a_slot_even_if_none_is_free() -> None:
    board = ChildBoard(2)
    for slot in range(2 * SPARE_SLOTS):
        board.write(hold_in(slot))
    assert board.free_slot(1) == 1
    assert board.free_slot(5) == 1


def test_a_stop_is_asked_of_one_attempt() -> None:
    board = ChildBoard(2)
    assert board.stop_asked(1) == 0
    board.ask_to_stop(1, 77)
    assert (board.stop_asked(0), board.stop_asked(1)) == (0, 77)
    board.write(hold_in(0))
    board.write(hold_in(2))
    assert board.stop_asked(1) == 77


def test_draining_is_seen_by_all() -> None:
    board = ChildBoard(1)
    assert not board.is_draining
    with forked(board.drain) as child:
        assert code_of(child) == 0
    assert board.is_draining


def test_parent_and_child_share_the_board() -> None:
    board = ChildBoard(1)
    board.ask_to_stop(0, 5)

    def say() -> None:
        assert board.stop_asked(0) == 5
        board.write(hold_in(0, pid=os.getpid()))

    with forked(say) as child:
        assert code_of(child) == 0
        assert board.holds() == [hold_in(0, pid=child)]
