"""Places for running steps."""

import threading

from tests.support.processes import wait_until
from workers.slots import Slots

WAIT_S = 20.0


def test_no_more_places_are_given_than_there_are() -> None:
    slots = Slots(3)
    assert slots.take(2, timeout_s=0) == 2
    assert slots.take(2, timeout_s=0) == 1
    assert slots.take(2, timeout_s=0) == 0
    slots.give_back(2)
    assert slots.take(5, timeout_s=0) == 2


def test_waiting_for_a_place_has_an_end() -> None:
    slots = Slots(1)
    slots.take(1, timeout_s=0)
    assert slots.take(1, timeout_s=0.01) == 0


def test_whoever_waits_is_woken_by_a_place_that_comes_free() -> None:
    slots, taken = Slots(2), []
    slots.take(2, timeout_s=0)
    threads = [threading.Thread(target=lambda: taken.append(slots.take(1, timeout_s=WAIT_S))) for _ in range(2)]
    for thread in threads:
        thread.start()
    slots.give_back(0)
    slots.give_back(2)
    for thread in threads:
        thread.join(WAIT_S)
    assert taken == [1, 1]


def test_whoever_was_told_that_there_is_no_room_is_told_when_there_is() -> None:
    slots, told = Slots(1), []
    slots.on_room(lambda: told.append(slots.has_room()))
    assert slots.has_room()
    slots.take(1, timeout_s=0)
    slots.give_back(1)
    assert told == []
    slots.take(1, timeout_s=0)
    assert not slots.has_room()
    slots.give_back(1)
    assert told == [True]
    slots.take(1, timeout_s=0)
    slots.give_back(1)
    assert told == [True]


def test_many_threads_never_hold_more_than_there_is() -> None:
    slots, lock, held, most = Slots(3), threading.Lock(), 0, 0

    def work() -> None:
        nonlocal held, most
        for _ in range(200):
            taken = slots.take(2, timeout_s=WAIT_S)
            with lock:
                held += taken
                most = max(most, held)
            with lock:
                held -= taken
            slots.give_back(taken)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: not any(thread.is_alive() for thread in threads))
    assert 0 < most <= 3
    assert slots.take(5, timeout_s=0) == 3
