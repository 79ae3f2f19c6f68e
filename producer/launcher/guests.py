"""Who else uses a site that one process started for itself: it must not stop while others run there."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

LOCK_NAME: Final = "guests.lock"


@contextmanager
def as_guest(data_dir: Path) -> Iterator[bool]:
    """Keep the site from stopping inside the block; yields False when it is stopping already."""
    with _opened(data_dir) as descriptor:
        yield _locked(descriptor, fcntl.LOCK_SH)


@contextmanager
def without_guests(data_dir: Path, *, on_wait: Callable[[], None]) -> Iterator[None]:
    """Wait until no guest is left (``on_wait`` is called if there is one); let none in inside the block."""
    with _opened(data_dir) as descriptor:
        if not _locked(descriptor, fcntl.LOCK_EX):
            on_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def _opened(data_dir: Path) -> Iterator[int]:
    descriptor = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
