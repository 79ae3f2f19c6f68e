"""The demo: both views on real workers, every step ok, everything stopped, with or without a checkout."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from examples.view_switch.ten_sleeps import SLEEPS_MS
from examples.view_switch.views import VIEW_SWITCH
from tests.support.processes import ROOT, clean_environment, processes_naming, untraced

DEMO_S = 120.0
"""For the whole demo on a machine that has other things to do."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run the demo once on a folder that is no checkout; return its document and what it said."""
    folder = tmp_path_factory.mktemp("no-checkout")
    done = _demo("--json", "--checkout", str(folder), TMPDIR=str(folder))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr, folder


def test_every_step_of_both_views_is_ok(demo: Any) -> None:
    document, _, _ = demo
    runs = [view[how] for view in document["views"] for how in ("sequential", "classified")]
    assert all(run["ok"] for run in runs)
    assert [len(run["outcomes"]) for run in runs] == [len(VIEW_SWITCH)] * 2 + [len(SLEEPS_MS)] * 2


def test_the_steps_read_real_data(demo: Any) -> None:
    document, _, _ = demo
    values = {one["name"]: one["value"] for one in document["views"][0]["classified"]["outcomes"]}
    assert values["GetChatHistoryStep"]["total"] >= 5_000
    assert values["GitGetCurrentBranchStep"] == "main"
    assert values["GitGetStatusStep"] == [" M small/greeting.py"]
    assert values["GetProjectInfoStep"]["files"] == 4


def test_the_steps_are_classed_and_placed_as_the_rules_say(demo: Any) -> None:
    document, _, _ = demo
    classified = document["views"][0]["classified"]
    assert classified["mode"] == "hybrid"
    places = {one["name"]: (one["critical"], one["queue"], one["lane"]) for one in classified["outcomes"]}
    assert places["CreateChatStep"] == (True, "critical", "session:42")
    assert places["GetChatHistoryStep"][:2] == (False, "parallel")
    sleeps = document["views"][1]["classified"]
    assert (document["views"][1]["synthetic"], sleeps["mode"]) == (True, "parallel")


def test_the_ten_sleeps_are_much_faster_side_by_side(demo: Any) -> None:
    document, _, _ = demo
    view = document["views"][1]
    assert view["sequential"]["total_ms"] >= sum(SLEEPS_MS.values())
    assert max(SLEEPS_MS.values()) <= view["classified"]["total_ms"] < 200
    assert view["ratio"] > 3.7


def test_it_says_what_it_made_and_leaves_nothing(demo: Any) -> None:
    _, said, folder = demo
    assert "the demo made a small one" in said
    assert "stopped everything" in said
    assert not processes_naming(str(folder))
    assert not [path for path in folder.iterdir() if path.name.startswith("stepline-")]


def test_people_see_tables_and_timelines_of_the_given_checkout(tmp_path: Path) -> None:
    done = _demo("--checkout", str(_checkout(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert "made a small one" not in done.stderr
    for words in (
        "real data",
        "synthetic: its steps only sleep",
        "times as fast",
        "not shown",
        "█",
        "non-critical",
    ):
        assert words in done.stdout


def _checkout(folder: Path) -> Path:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(["git", "init", "--quiet", folder], check=True, env=environment)
    return folder


def _demo(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.view_switch", *arguments],
        env=untraced(clean_environment(**{"TMPDIR": tempfile.gettempdir(), **variables})),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEMO_S,
    )
