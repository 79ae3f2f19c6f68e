"""Runs the rounds: in each, every peer in turn, alone on the machine, with a Redis of its own."""

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bench.measured_peer import measured_peer
from bench.options import Options
from bench.readings import Readings
from bench.rows import CELERY, CELERY_BARE, PEERS, RAISED_CONCURRENCY, STEPLINE, STEPLINE_RAISED
from bench.workloads import Load, Workload


def run_rounds(options: Options) -> Readings:
    """Run all rounds, the peers of each in an order drawn by lot.

    Raises:
        PeerBroke: A peer ended, did not answer, or returned a wrong result.
        NoRedisServer: There is none on this machine.
    """
    readings = Readings()
    for number in range(1, options.rounds + 1):
        order = random.sample(list(PEERS), len(PEERS))
        readings.orders.append(order)
        for row in order:
            begun = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="stepline-bench-", ignore_cleanup_errors=True) as folder:
                _run_peer(row, Path(folder), options, readings, is_last=number == options.rounds)
            _say(f"round {number} of {options.rounds}: {row}, {time.monotonic() - begun:.0f} s")
    return readings


def _run_peer(row: str, folder: Path, options: Options, readings: Readings, *, is_last: bool) -> None:
    with measured_peer(row, folder) as peer:
        readings.versions |= peer.versions()
        peer.warm_up()
        readings.all += [peer.read(*variant) for variant in _variants(row, options)]
        if is_last and options.measures_memory:
            _say(f"{row}: idle for {options.idle_s:g} s")
            readings.idle.append(peer.read_idle(options.idle_s))


def _variants(row: str, options: Options) -> Iterator[tuple[str, Workload, Load]]:
    """Yield what a peer runs: name of the row, workload and load."""
    for workload in options.workloads:
        load = replace(workload.load, repeats=workload.quick_repeats) if options.quick else workload.load
        yield row, workload, load
        if row == CELERY and len(load.expected) == 1:
            yield CELERY_BARE, workload, replace(load, is_bare=True)
        if row == STEPLINE and workload.raised_concurrency:
            yield STEPLINE_RAISED, workload, replace(load, max_concurrency=RAISED_CONCURRENCY)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
