"""Stretches of tests whose coverage is not measured, because measuring it takes longer than what they do."""

from collections.abc import Iterator
from contextlib import contextmanager

import coverage


@contextmanager
def uncovered() -> Iterator[None]:
    """Run the block without measuring coverage.

    For what calls the same few functions ten thousand times, and what other tests run too: the trace costs more than
    half as much again.
    """
    measuring = coverage.Coverage.current()
    if measuring is None:
        yield
        return
    measuring.stop()
    try:
        yield
    finally:
        measuring.start()
