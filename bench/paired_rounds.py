"""Runs a comparison: in each round both codes have a site of their own, and take turns at every workload."""

import random
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench.code_tree import CodeTree
from bench.measured_peer import MeasuredPeer, measured_peer
from bench.options import Options
from bench.pairs import Pair, Pairs
from bench.rows import STEPLINE
from bench.workloads import Load, Workload

TURNS: Final = 5
"""So many times a round each of the two runs a part of a workload's repeats, the other one right before or after it."""

BEFORE: Final = "before"
AFTER: Final = "after"
SIDES: Final = (BEFORE, AFTER)


def run_paired_rounds(options: Options, *, before: CodeTree, after: CodeTree) -> Pairs:
    """Run all rounds; who begins is drawn by lot for each site and each turn.

    Raises:
        CannotCompare: A peer would not run the code that it should, or the two benchmarks don't fit together.
        PeerBroke: A peer ended, did not answer, or returned a wrong result.
        NoRedisServer: There is none on this machine.
    """
    codes = {BEFORE: before, AFTER: after}
    pairs = Pairs(code={side: code.packages() for side, code in codes.items()})
    for number in range(1, options.rounds + 1):
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="stepline-bench-", ignore_cleanup_errors=True) as folder:
            _run_round(number, codes, Path(folder), options, pairs)
        print(f"round {number} of {options.rounds}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return pairs


def _run_round(number: int, codes: Mapping[str, CodeTree], folder: Path, options: Options, pairs: Pairs) -> None:
    with ExitStack() as stack:
        peers = {}
        for side in random.sample(SIDES, len(SIDES)):
            (folder / side).mkdir()
            peers[side] = stack.enter_context(measured_peer(STEPLINE, folder / side, codes[side]))
            peers[side].warm_up()
            pairs.versions[side] = dict(peers[side].versions())
        for workload in options.workloads:
            load = _load_of_turn(workload, is_quick=options.quick)
            pairs.all.extend(_take_turn(number, peers, workload, load) for _ in range(TURNS))


def _take_turn(number: int, peers: Mapping[str, MeasuredPeer], workload: Workload, load: Load) -> Pair:
    taken = {side: peers[side].read(STEPLINE, workload, load) for side in random.sample(SIDES, len(SIDES))}
    return Pair(round=number, before=taken[BEFORE], after=taken[AFTER])


def _load_of_turn(workload: Workload, *, is_quick: bool) -> Load:
    """Return a part of the workload, so that all turns together have about its repeats."""
    repeats = workload.quick_repeats if is_quick else workload.load.repeats
    return replace(workload.load, repeats=-(-repeats // TURNS))
