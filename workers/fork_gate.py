"""Keeps forks and the keeper's I/O apart: a child must not inherit a connection in mid-sentence or a held lock."""

import os
import threading

_gate = threading.RLock()


def fork_gate() -> threading.RLock:
    """Return the lock to hold around I/O in a process that forks."""
    return _gate


def _renew() -> None:
    global _gate
    _gate = threading.RLock()


# Looked up at each fork: a child has a gate of its own.
os.register_at_fork(
    before=lambda: _gate.acquire(),  # noqa: PLW0108
    after_in_parent=lambda: _gate.release(),  # noqa: PLW0108
    after_in_child=_renew,
)
