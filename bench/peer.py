"""The peer's side of the benchmark: runs what is asked for in lines of JSON, times it, and checks every result."""

import gc
import json
import os
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, Final, Protocol, TypeVar

from bench.workloads import PATIENCE_S, Load
from producer.cli.interrupts import Interrupts

LEAST_SAMPLES: Final = 3
"""Repeats that even a slow peer runs, unless fewer are asked for."""

DISTRIBUTIONS: Final = ("celery", "kombu", "redis", "hiredis")
"""Whose versions the report names."""

Handle = TypeVar("Handle")


class WrongResults(Exception):
    """The steps of a batch did not return what they should: the peer is broken, its times say nothing."""


class Peer(Protocol[Handle]):
    """Runs batches of steps in one way."""

    def start(self) -> None:
        """Start the workers; return when they take work."""

    def submit(self, load: Load) -> Handle:
        """Hand in the load's batch once; return what `gather` takes."""

    def gather(self, handle: Handle) -> Sequence[object]:
        """Wait for a batch and return the values of its steps, the ordered ones first."""

    def workers(self) -> Mapping[str, int]:
        """Return the pid of each worker, by name."""

    def stop(self) -> None:
        """End the workers and let go of everything; harmless when called again, or without `start`."""


def serve(peer: Peer[Handle]) -> None:
    """Start the peer and answer requests until standard input ends; then stop it.

    A request is a `Load`, its answer ``{"seconds": [...], "batches": N}``: seconds of each batch, or of all
    where several were under way together. Before the first one the peer says who its workers are. An error
    or a SIGTERM ends the peer, its traceback on standard error.
    """
    # What libraries print must not come between the answers.
    with os.fdopen(os.dup(1), "w") as answers, Interrupts() as interrupts:
        os.dup2(2, 1)
        try:
            peer.start()
            _say(answers, {"workers": dict(peer.workers()), "versions": _versions()})
            for line in sys.stdin:
                _say(answers, measure(peer, Load.decode(json.loads(line))))
        finally:
            interrupts.disarm()
            peer.stop()


def measure(peer: Peer[Handle], load: Load) -> dict[str, Any]:
    """Run a load and return the answer to it.

    Raises:
        WrongResults: A step did not return its own milliseconds.
    """
    gc.collect()
    if load.open_at_once == 1:
        seconds = _time_each(peer, load)
        return {"seconds": seconds, "batches": len(seconds)}
    begun = time.perf_counter()
    batches = _flood(peer, load)
    return {"seconds": [time.perf_counter() - begun], "batches": batches}


def _time_each(peer: Peer[Handle], load: Load) -> list[float]:
    seconds: list[float] = []
    while len(seconds) < load.repeats and (len(seconds) < LEAST_SAMPLES or sum(seconds) < PATIENCE_S):
        begun = time.perf_counter()
        values = peer.gather(peer.submit(load))
        seconds.append(time.perf_counter() - begun)
        _check(values, load)
    return seconds


def _flood(peer: Peer[Handle], load: Load) -> int:
    """Keep several batches under way; return how many there were."""
    under_way: deque[Handle] = deque()
    submitted, give_up_at = 0, time.perf_counter() + PATIENCE_S
    while submitted < load.repeats and time.perf_counter() < give_up_at:
        if len(under_way) == load.open_at_once:
            _check(peer.gather(under_way.popleft()), load)
        under_way.append(peer.submit(load))
        submitted += 1
    for handle in under_way:
        _check(peer.gather(handle), load)
    return submitted


def _check(values: Sequence[object], load: Load) -> None:
    if list(values) != load.expected:
        raise WrongResults(f"expected {load.expected}, got {list(values)}")


def _say(answers: Any, message: Mapping[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in DISTRIBUTIONS}
