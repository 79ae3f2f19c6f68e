"""The coverage floors can be missed: each of lines and branches, and by measuring nothing."""

import json
from pathlib import Path

import pytest

from dev.coverage_floor import read_coverage


def report(folder: Path, *, lines: int, branches: int, of: int = 1_000) -> Path:
    path = folder / "coverage.json"
    totals = {"covered_lines": lines, "num_statements": of, "covered_branches": branches, "num_branches": of}
    path.write_text(json.dumps({"totals": totals}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("lines", "branches", "is_enough"),
    [(900, 850, True), (899, 1_000, False), (1_000, 849, False), (899, 849, False)],
)
def test_lines_and_branches_have_a_floor_each(lines: int, branches: int, is_enough: bool, tmp_path: Path) -> None:
    assert read_coverage(report(tmp_path, lines=lines, branches=branches)).is_enough is is_enough


def test_nothing_measured_does_not_pass_for_full_coverage(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no line or no branch was measured"):
        read_coverage(report(tmp_path, lines=0, branches=0, of=0))
