"""No fork while the keeper speaks, no held lock in a child."""

import threading

from tests.support.forks import code_of, forked
from workers.fork_gate import fork_gate

WAIT_S = 20.0


def test_a_fork_waits_until_the_gate_is_open() -> None:
    is_inside, may_leave, steps = threading.Event(), threading.Event(), []

    def speak() -> None:
        with fork_gate():
            is_inside.set()
            may_leave.wait(WAIT_S)
            steps.append("spoken")

    speaker = threading.Thread(target=speak)
    speaker.start()
    assert is_inside.wait(WAIT_S)
    opener = threading.Timer(0.02, may_leave.set)
    opener.start()
    with forked(lambda: None) as child:
        steps.append("forked")
        code_of(child)
    speaker.join()
    assert steps == ["spoken", "forked"]


def test_the_gate_is_free_in_a_child_and_again_in_its_parent() -> None:
    gates = []

    def enter() -> None:
        with fork_gate():
            gates.append("entered")
        assert gates

    with fork_gate(), forked(enter) as child:  # by the thread that forks: it must not wait for itself
        assert code_of(child) == 0
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join(WAIT_S)
    assert gates == ["entered"]
