"""The checker first: each planted bug is found, and named by the invariant that it breaks."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fault_bugs import BUGS, Bug, planted
from tests.support.fault_checker import violations
from tests.support.fault_evidence import Evidence
from tests.support.fault_sites import FaultSite

SETTLES_WITHIN_S = 6.0
"""For runs that take well under a second; what has not settled then, is taken to be lost."""


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_a_planted_bug_is_found(bug: Bug, tmp_path: Path) -> None:
    with planted(bug), FaultSite(tmp_path, scale={"critical": 2, "parallel": 1}, plant=bug.name) as site:
        STORIES.get(bug.name, _mixed_load)(site)
        evidence = site.evidence()
    found = violations(evidence)
    assert {sentence[0] for sentence in found} & set(bug.breaks), found
    assert all(_names_something(sentence, evidence) for sentence in found), found


def test_without_a_bug_nothing_is_found(tmp_path: Path) -> None:
    with FaultSite(tmp_path, scale={"critical": 2, "parallel": 1}) as site:
        _mixed_load(site)
        _killed_after_effect(site)
        _long_step_ignores_its_time_out(site)
        _cancelled_before_its_turn(site)
        _paused_behind_others(site)
        site.check()


def _names_something(sentence: str, evidence: Evidence) -> bool:
    return any(run.id in sentence for run in evidence.runs)


def _mixed_load(site: FaultSite) -> None:
    """Runs in line, some behind others, each with reads behind its writes."""
    head = site.submit([site.write(latch=site.latch("head"))])
    site.wait_for("began")
    for number in range(6):
        steps = [site.write(), site.write(seconds=0.05), site.read(), site.read()]
        site.submit(steps, after=[site.runs[-1].id] if number == 3 else [])
    site.open_latch("head")
    site.gather(head, SETTLES_WITHIN_S)
    site.gather_all(SETTLES_WITHIN_S)


def _paused_behind_others(site: FaultSite) -> None:
    """Three runs in line behind a fourth; the last one is paused and resumed."""
    site.submit([site.write("head", latch=site.latch("paused"))])
    site.wait_for("began", step="head")
    runs = [site.submit([site.write(seconds=0.05)]) for _ in range(3)]
    runs[-1].pause()
    runs[-1].resume()
    site.open_latch("paused")
    site.gather_all(SETTLES_WITHIN_S)


def _few_steps(site: FaultSite) -> None:
    site.submit([site.write(), site.read()])
    site.gather_all(SETTLES_WITHIN_S)


def _killed_after_effect(site: FaultSite) -> None:
    site.submit([site.write(dies="self@during"), site.write()])
    site.gather_all(SETTLES_WITHIN_S)


def _worker_killed(site: FaultSite) -> None:
    site.submit([site.read(latch=site.latch("held"))])
    (line,) = site.wait_for("began")
    site.kill(site.worker_of(line.pid))
    site.gather_all(SETTLES_WITHIN_S)


def _frozen_past_its_lease(site: FaultSite) -> None:
    """The first attempt wakes while the second one runs, and ends before it."""
    site.add_worker("parallel", 2)
    site.wait_until_whole()
    site.submit([site.read(latch=site.latch("held"), seconds=2.0)])
    (line,) = site.wait_for("began")
    frozen = site.worker_of(line.pid)
    site.freeze(frozen)
    site.wait_for("began", 2)
    site.open_latch("held")
    site.freeze(frozen, thaw=True)
    site.gather_all(2 * SETTLES_WITHIN_S)


def _long_step_ignores_its_time_out(site: FaultSite) -> None:
    deaf = {"name": "WriteDeafFaultStep", "params": {"folder": str(site.folder), "seconds": 3.0}, "timeout": 0.3}
    site.submit([deaf])
    site.submit([site.write(seconds=0.2)])  # Time for its code to show that it still runs.
    site.gather_all(SETTLES_WITHIN_S)


def _cancelled_before_its_turn(site: FaultSite) -> None:
    latch = f"cancel-{os.urandom(4).hex()}"
    steps = [site.write("first", latch=site.latch(latch)), site.write("second"), site.write("third")]
    run = site.submit(steps, strategy="simple")
    site.wait_for("began", step="first")
    site.cancel_step(run, "second")
    site.open_latch(latch)
    site.gather_all(SETTLES_WITHIN_S)


STORIES: dict[str, Callable[[FaultSite], None]] = {
    "a step succeeds that never ran": _few_steps,
    "an accepted run is forgotten": _few_steps,
    "a resumed run overtakes those in line": _paused_behind_others,
    "gather loses an outcome": _few_steps,
    "gather turns the order round": _few_steps,
    "any fence may settle": _frozen_past_its_lease,
    "a lane is vacated before the code has stopped": _long_step_ignores_its_time_out,
    "a cancelled step runs": _cancelled_before_its_turn,
    "every attempt has a key of its own": _killed_after_effect,
    "the steps of a dead worker are left": _worker_killed,
    "the steps of a dead child are left": _killed_after_effect,
}
