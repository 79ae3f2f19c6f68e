"""A site that one run started stays until the runs that joined it are over."""

import threading
from pathlib import Path

from producer.launcher.guests import as_guest, without_guests

WAIT_S = 10.0


def test_several_guests_are_welcome(tmp_path: Path) -> None:
    with as_guest(tmp_path) as first, as_guest(tmp_path) as second:
        assert first
        assert second


def test_the_host_waits_for_its_guests_and_says_so(tmp_path: Path) -> None:
    waits, alone = threading.Event(), threading.Event()

    def leave() -> None:
        with without_guests(tmp_path, on_wait=waits.set):
            alone.set()

    host = threading.Thread(target=leave)
    with as_guest(tmp_path):
        host.start()
        assert waits.wait(WAIT_S)
        assert not alone.is_set()
    assert alone.wait(WAIT_S)
    host.join()


def test_without_guests_the_host_does_not_wait_and_lets_none_in(tmp_path: Path) -> None:
    said: list[str] = []
    with without_guests(tmp_path, on_wait=lambda: said.append("waiting")), as_guest(tmp_path) as welcome:
        assert not welcome
    assert not said
    with as_guest(tmp_path) as welcome:
        assert welcome
