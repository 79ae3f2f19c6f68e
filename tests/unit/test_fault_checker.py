"""The checker of the invariants on records made by hand: sound ones pass, each broken one is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from dev.soak import is_kept, report
from tests.support.fault_checker import violations
from tests.support.fault_evidence import CallSent, Death, Evidence, OutcomeSeen, RunSeen, SettleSeen
from tests.support.fault_journal import JOURNAL, AttemptJournal, JournalLine, read_journal
from tests.support.fault_load import figures_of
from tests.support.fault_target import Effect, read_effects, take

WRITE, READ = OutcomeSeen("write", "succeeded", 1, 10), OutcomeSeen("read", "succeeded", 1, 11)
RUN = RunSeen(
    id="one",
    accepted=1.0,
    calls=(CallSent("write", "global"), CallSent("read")),
    ledger=(WRITE, READ),
    settles=(SettleSeen("write", "succeeded", 10), SettleSeen("read", "succeeded", 11)),
    gathered=((WRITE, READ),),
)
BEHIND = RunSeen(
    id="two", accepted=2.0, calls=(CallSent("write", "global"),), ledger=(OutcomeSeen("write", "succeeded", 1, 20),)
)


def line(what: str, run: str, step: str, fence: int, start_s: float, end_s: float, pid: int = 1) -> JournalLine:
    return JournalLine(what, run, step, 1, fence, pid, start_s, end_s)


LINES = (
    line("began", "one", "write", 10, 1.0, 1.0),
    line("ended", "one", "write", 10, 1.0, 1.5),
    line("began", "one", "read", 11, 2.0, 2.0),
    line("ended", "one", "read", 11, 2.0, 2.1),
    line("began", "two", "write", 20, 3.0, 3.0),
    line("ended", "two", "write", 20, 3.0, 3.1),
)
EFFECTS = (
    Effect("one/write", "one", "write", "global", 1, 10, 1, 1.2),
    Effect("two/write", "two", "write", "global", 1, 20, 1, 3.05),
)
SOUND = Evidence(runs=(RUN, BEHIND), lines=LINES, effects=EFFECTS)


def test_a_sound_story_breaks_nothing() -> None:
    assert violations(SOUND) == []


@pytest.mark.parametrize(
    ("invariant", "broken"),
    [
        ("A", replace(SOUND, runs=(replace(RUN, ledger=(WRITE,), gathered=()), BEHIND))),
        ("A", replace(SOUND, runs=(replace(RUN, settles=RUN.settles * 2), BEHIND))),
        ("A", replace(SOUND, runs=(replace(RUN, settles=(SettleSeen("write", "succeeded", 9),)), BEHIND))),
        ("B", replace(SOUND, lines=LINES[2:])),
        ("B", replace(SOUND, runs=(replace(RUN, cancelled=(("read", 1.0),)), BEHIND))),
        ("B", replace(SOUND, runs=(RUN, replace(BEHIND, ledger=(OutcomeSeen("write", "skipped", 0),))))),
        ("C", replace(SOUND, lines=(*LINES[:4], line("began", "two", "write", 20, 1.2, 1.2)))),
        ("C", replace(SOUND, effects=(EFFECTS[0], replace(EFFECTS[1], fence=10)))),
        ("D", replace(SOUND, runs=(replace(RUN, accepted=3.0), BEHIND))),
        ("E", replace(SOUND, runs=(replace(RUN, gathered=((WRITE,),)), BEHIND))),
        ("E", replace(SOUND, runs=(replace(RUN, gathered=((READ, WRITE),)), BEHIND))),
        ("E", replace(SOUND, runs=(replace(RUN, gathered=((WRITE, replace(READ, attempts=2)),)), BEHIND))),
        ("F", replace(SOUND, effects=(*EFFECTS, replace(EFFECTS[1], key="another", fence=21)))),
        ("F", replace(SOUND, lines=(*LINES, LINES[2]))),
        ("F", replace(SOUND, most_attempts=0)),
        ("G", replace(SOUND, runs=(replace(RUN, ledger=None), BEHIND))),
        ("H", replace(SOUND, deaths=(Death(frozenset((1,)), 2.05, 1.0),), runs=(replace(RUN, settles=()), BEHIND))),
    ],
)
def test_a_broken_story_is_said_to_break_its_invariant(invariant: str, broken: Evidence) -> None:
    found = violations(broken)
    assert invariant in {sentence[0] for sentence in found}, found
    assert all("run one" in sentence or "run two" in sentence for sentence in found)


def test_a_step_that_ran_again_too_late_after_a_death_is_named() -> None:
    again = line("began", "one", "read", 12, 9.0, 9.0, pid=2)
    run = replace(RUN, settles=(RUN.settles[0], SettleSeen("read", "succeeded", 12)), ledger=None)
    died = replace(SOUND, runs=(run,), lines=(*LINES, again), deaths=(Death(frozenset((1,)), 2.05, 5.0),))
    (sentence,) = [one for one in violations(died) if one[0] == "H"]
    assert "ran again 6.95 s after the death" in sentence


def test_code_of_a_frozen_process_may_overlap_and_its_effect_may_not() -> None:
    late = (*LINES[:1], line("ended", "one", "write", 10, 1.0, 9.0), *LINES[2:])
    assert [sentence[0] for sentence in violations(replace(SOUND, lines=late))] == ["C"]
    assert violations(replace(SOUND, lines=late, frozen=frozenset((1,)))) == []


def test_the_journal_is_read_up_to_a_line_that_is_torn(tmp_path: Path) -> None:
    pen = AttemptJournal(tmp_path, run="one", step="write", attempt=2, fence=7)
    pen.write("began")
    pen.write("ended")
    with (tmp_path / JOURNAL).open("a") as file:
        file.write('{"what": "bega')
    assert [(one.what, one.attempt, one.fence) for one in read_journal(tmp_path)] == [("began", 2, 7), ("ended", 2, 7)]


def test_the_target_takes_a_key_once_and_no_fence_below_the_highest(tmp_path: Path) -> None:
    def offer(key: str, fence: int) -> bool:
        return take(tmp_path, key=key, run="one", step="write", lane="global", attempt=1, fence=fence)

    assert [offer("a", 5), offer("a", 6), offer("b", 5), offer("b", 6)] == [True, False, False, True]
    assert [(effect.key, effect.fence) for effect in read_effects(tmp_path)] == [("a", 5), ("b", 6)]


def test_a_soak_is_kept_where_nothing_is_wrong_and_shows_what_is() -> None:
    figures, sentences = figures_of(SOUND)
    assert sentences == []
    assert is_kept(figures)
    assert "survived/total    3/3 steps (100.000%)" in report(figures, 4)
    lost, _ = figures_of(replace(SOUND, runs=(replace(RUN, ledger=(WRITE,), gathered=()), BEHIND)))
    assert (lost.lost, is_kept(lost)) == (1, False)
    slow = replace(figures, recoveries_s=(1.0, 10.5))
    assert (slow.slowest_s, is_kept(slow)) == (10.5, False)
