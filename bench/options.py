"""The command line of the benchmark."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from bench.workloads import WORKLOADS, Workload

MEMORY: Final = "memory"
"""For ``--only``: the memory of idle workers."""

ROUNDS: Final = 3
PAIRED_ROUNDS: Final = 5
QUICK_ROUNDS: Final = 1
LIMIT: Final = 1.15
IDLE_S: Final = 60.0
QUICK_IDLE_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for.

    Args:
        rounds: In each, every peer runs every workload.
        quick: Whether each workload is repeated a few times only.
        only: What is measured: names of workloads, and ``memory``.
        idle_s: How long the workers do nothing before their memory is read.
        json: Where everything that was measured is written; None: nowhere.
        is_judged: Whether missed targets, or ratios over the limit, count.
        compare: The commit that the working tree is compared with, rather than with plain Celery.
        limit: How much longer than before a workload may take.
    """

    rounds: int = ROUNDS
    quick: bool = False
    only: tuple[str, ...] = ()
    idle_s: float = IDLE_S
    json: Path | None = None
    is_judged: bool = True
    compare: str | None = None
    limit: float = LIMIT

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """The workloads that are measured."""
        return tuple(workload for workload in WORKLOADS if not self.only or workload.name in self.only)

    @property
    def measures_memory(self) -> bool:
        """Whether the memory of idle workers is measured."""
        return not self.only or MEMORY in self.only

    @classmethod
    def parse(cls, arguments: Sequence[str] | None = None) -> Self:
        """Read the command line; wrong usage ends the program, as argparse has it."""
        parser = _parser()
        given = parser.parse_args(arguments)
        rounds = ROUNDS
        if given.compare is not None:
            rounds = PAIRED_ROUNDS
            if given.idle is not None or MEMORY in given.only:
                parser.error("--compare measures no idle workers: leave out --idle and --only memory")
        elif given.limit is not None:
            parser.error("--limit is of the ratios of --compare")
        return cls(
            rounds=given.rounds or (QUICK_ROUNDS if given.quick else rounds),
            quick=given.quick,
            only=tuple(dict.fromkeys(given.only)),
            idle_s=(QUICK_IDLE_S if given.quick else IDLE_S) if given.idle is None else given.idle,
            json=given.json,
            is_judged=given.is_judged,
            compare=given.compare,
            limit=LIMIT if given.limit is None else given.limit,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Run the same batches of steps on Stepline and on plain Celery, and hold the times to the targets; "
        "or, with --compare, on this working tree and on another commit of Stepline.",
        epilog="Exit codes: 0 every target that was measured is met, and no ratio is over the limit; 1 one is missed "
        "or over, 2 wrong usage, or a commit that cannot be compared, 3 a peer or Redis broke, 130 interrupted.",
    )
    names = [*(workload.name for workload in WORKLOADS), MEMORY]
    rounds_help = f"rounds ({ROUNDS}, with --compare {PAIRED_ROUNDS}, with --quick {QUICK_ROUNDS})"
    parser.add_argument("--rounds", type=_rounds, metavar="N", help=rounds_help)
    parser.add_argument("--quick", action="store_true", help="fewer repeats: seconds, and figures that mean little")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=names,
        metavar="WORKLOAD",
        help=f"measure this only; can be repeated: {', '.join(names)}",
    )
    idle_help = f"how long workers are idle before their memory is read ({IDLE_S:g}, with --quick {QUICK_IDLE_S:g})"
    parser.add_argument("--idle", type=_seconds, metavar="S", help=idle_help)
    parser.add_argument("--json", type=_new_file, metavar="FILE", help="write all that was measured there")
    parser.add_argument("--no-targets", dest="is_judged", action="store_false", help="only measure: exit code 0")
    compare_help = "a commit as git names it: run its code and this working tree's in turns, and show the ratios"
    parser.add_argument("--compare", metavar="COMMIT", help=compare_help)
    limit_help = f"of --compare: how much longer than before a workload may take ({LIMIT:g})"
    parser.add_argument("--limit", type=_limit, metavar="RATIO", help=limit_help)
    return parser


def _limit(text: str) -> float:
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not 0 < limit < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a ratio such as {LIMIT:g}")
    return limit


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds, 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")
    return seconds


def _new_file(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a file that can be written")
    return path
