"""Runs the test tiers, two at a time, says what each cost, and holds all of them to the coverage floors.

Usage: ``python -m dev.tiers [TIER...]``; without arguments all tiers. The coverage of a part of them is
shown, not judged.
"""

import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from dev.coverage_floor import read_coverage

TIERS: Final = ("unit", "integration", "acceptance", "faults")
ROOT: Final = Path(__file__).resolve().parent.parent
REPORTS: Final = ROOT / "reports"
SELECTED: Final = {
    "faults": (
        "tests/faults/test_killed_processes.py::test_a_child_killed_at_any_point_of_an_effect_has_it_once",
        "tests/faults/test_killed_processes.py::test_a_worker_killed_with_its_children_at_any_point_has_the_effect_once",
        "tests/faults/test_messages.py::test_the_same_message_ten_times_runs_nothing_twice",
        "tests/faults/test_planted_bugs.py::test_without_a_bug_nothing_is_found",
        "tests/faults/test_planted_bugs.py::test_a_planted_bug_is_found[a lane serves the last come first]",
        "tests/faults/test_random_schedules.py::test_a_schedule_replays_from_its_seed",
        "tests/faults/test_redis_faults.py::test_redis_that_comes_back_empty_is_noticed_and_no_success_is_told",
    )
}
"""What runs of a tier that takes too long for every change; ``make test-faults`` runs all of it."""

LINES: Final = (("unit", "integration", "faults"), ("acceptance",))
"""Tiers that run one after the other beside those of the other line, which mostly wait."""

GIVE_WAY: Final = dict.fromkeys(("unit", "integration"), ("nice", "-n", "10"))
"""Tiers that only compute leave the processor to those that time what real workers do."""

COVERAGE: Final = (sys.executable, "-m", "coverage")

RECOMPILES: Final = "PYTHONDONTWRITEBYTECODE"
"""Not handed on: each of some thousand processes would compile all of our modules anew, a seventh of its start."""


@dataclass(frozen=True, slots=True)
class TierResult:
    """How a tier ended; ``code`` is pytest's."""

    tier: str
    code: int
    tests: int
    failed: int
    skipped: int
    took_s: float

    def __str__(self) -> str:
        passed = self.tests - self.failed - self.skipped
        verdict = "ok" if self.code == 0 else f"FAILED (pytest said {self.code})"
        counts = f"{passed:5} passed {self.failed:4} failed {self.skipped:4} skipped"
        return f"{self.tier:12} {counts} {self.took_s:8.1f} s   {verdict}"


def main(arguments: Sequence[str]) -> int:
    """Run the tiers and return the exit code: 0 if all passed and the coverage is enough."""
    unknown = [tier for tier in arguments if not (ROOT / "tests" / tier).is_dir()]
    if unknown:
        print(f"there is no tier {unknown[0]!r} under tests/; there are {', '.join(TIERS)}", file=sys.stderr)
        return 2
    tiers = tuple(arguments) or TIERS
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir()
    results = _run_side_by_side([[tier for tier in line if tier in tiers] for line in LINES])
    is_covered = _cover(is_judged=set(TIERS) <= set(tiers))
    print("\n".join(map(str, results)))
    return 0 if is_covered and all(result.code == 0 for result in results) else 1


def _run_side_by_side(lines: Sequence[Sequence[str]]) -> list[TierResult]:
    with ThreadPoolExecutor(len(lines)) as threads:
        results = threads.map(lambda line: [_run_tier(tier) for tier in line], lines)
        return [result for line in results for result in line]


def _run_tier(tier: str) -> TierResult:
    print(f"--- {tier} begins ---", flush=True)
    report = REPORTS / f"{tier}.xml"
    begun = time.monotonic()
    tests_of_tier = SELECTED.get(tier, (f"tests/{tier}",))
    log = REPORTS / f"{tier}.log"
    with log.open("wb") as file:
        pytest = (*GIVE_WAY.get(tier, ()), *COVERAGE, "run", "-m", "pytest")
        code = _run(*pytest, *tests_of_tier, f"--junitxml={report}", output=file)
    print(f"--- {tier} ---\n{log.read_text(errors='replace')}", flush=True)
    took_s = time.monotonic() - begun
    suite = ET.parse(report).getroot().find("testsuite") if report.is_file() else None
    counted = {} if suite is None else suite.attrib
    tests, errors, failures, skipped = (
        int(counted.get(name, 0)) for name in ("tests", "errors", "failures", "skipped")
    )
    return TierResult(tier, code, tests, errors + failures, skipped, took_s)


def _cover(*, is_judged: bool) -> bool:
    report = REPORTS / "coverage.json"
    _run(*COVERAGE, "combine", "--quiet")
    _run(*COVERAGE, "report")
    _run(*COVERAGE, "json", "--quiet", "-o", str(report))
    if not report.is_file():
        print("coverage: nothing was measured")
        return False
    coverage = read_coverage(report)
    print(f"\n{coverage}" if is_judged else f"\n{coverage}; not judged, not all tiers ran")
    return coverage.is_enough or not is_judged


def _run(*command: str, output: IO[bytes] | None = None) -> int:
    # An absolute path, because the processes that tests start run in folders of their own.
    kept = {name: value for name, value in os.environ.items() if name != RECOMPILES}
    environ = {**kept, "COVERAGE_FILE": str(REPORTS / ".coverage")}
    return subprocess.run(command, cwd=ROOT, env=environ, stdout=output, stderr=output, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
