"""Kills workers, children and Redis at random moments under a steady load, and counts what was lost.

Usage: ``python -m dev.soak [MINUTES] [SEED]``; the same seed draws the same kills.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.support.fault_load import Figures, Load, figures_of
from tests.support.fault_schedules import KILLS, schedule_of, strike_all
from tests.support.fault_sites import FaultSite

LEAST_SHARE: Final = 0.999
SLOWEST_S: Final = 10.0
"""After the death of a worker, its steps run again within this time."""

RUN_EVERY_S: Final = 0.15
KILL_EVERY_S: Final = 5.0
SETTLES_WITHIN_S: Final = 60.0
"""What was accepted must have settled so long after the last kill."""

SHIPPED: Final = {
    "STEPLINE_HEARTBEAT_S": "1",
    "STEPLINE_LEASE_S": "5",
    "STEPLINE_SHUTDOWN_S": "6",
    "STEPLINE_REPUBLISH_S": "2",
}
"""The settings as they are shipped, and not those that fault tests hurry with."""

SHOWN: Final = 20


def main(arguments: Sequence[str]) -> int:
    """Run for so many minutes; returns 1 where a promise was broken."""
    minutes = float(arguments[0]) if arguments else 1.0
    seed = int(arguments[1]) if len(arguments) > 1 else time.time_ns() % 1_000_000
    print(f"soak: {minutes:g} minutes, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        figures, sentences, kills = _soak(Path(folder), seconds=60 * minutes, seed=seed)
    print(report(figures, kills))
    print("\n".join(sentences[:SHOWN]))
    if not is_kept(figures):
        print(f"a promise was broken; the same kills again: python -m dev.soak {minutes:g} {seed}")
        return 1
    return 0


def _soak(folder: Path, *, seconds: float, seed: int) -> tuple[Figures, list[str], int]:
    schedule = schedule_of(seed, lasts_s=seconds, every_s=KILL_EVERY_S, blows=KILLS)
    scale = {"critical": 2, "parallel": 2}
    with FaultSite(folder / "site", scale=scale, variables=SHIPPED, again_within_s=SLOWEST_S) as site:
        load = Load(site, seed, RUN_EVERY_S).start()
        strike_all(site, schedule)
        load.finish(SETTLES_WITHIN_S)
        return *figures_of(site.evidence()), len(schedule)


def report(figures: Figures, kills: int) -> str:
    """Return the figures, a line each."""
    median_s = statistics.median(figures.recoveries_s) if figures.recoveries_s else 0.0
    return "\n".join(
        (
            f"kills             {kills}",
            f"survived/total    {figures.survived}/{figures.total} steps ({figures.share:.3%})",
            f"lost              {figures.lost}",
            f"doubled           {figures.doubled}",
            f"overlaps          {figures.overlaps}",
            f"other violations  {figures.others}",
            f"recoveries        {len(figures.recoveries_s)}, median {median_s:.2f} s",
            f"slowest recovery  {figures.slowest_s:.2f} s",
        )
    )


def is_kept(figures: Figures) -> bool:
    """Whether all promises were kept."""
    broken = figures.lost + figures.doubled + figures.overlaps + figures.others
    return figures.share >= LEAST_SHARE and not broken and figures.slowest_s <= SLOWEST_S


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
