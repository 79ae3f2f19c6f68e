"""What is counted: once for each settle that is accepted, whatever is refused, repeated or taken back."""

from collections.abc import Sequence

from steps import json_value
from steps.ledger.records import ClaimedStep, StepFate
from tests.support.ledger_story import Story, failed, give_back, ok, park, retry, run_of, scenario

NAMES = ["Fetch", "Fetch", "Send", "Send"]


def took(step: ClaimedStep, ran_ms: float, status: str = "succeeded") -> StepFate:
    outcome = {"status": status, "ran_ms": ran_ms, "value": {"ran_ms": 9}}
    return StepFate(step.index, step.fence, "S", status, json_value.encode(outcome))


@scenario("""
    outcomes:
    site:
    open r: new; publish nothing
    outcomes:
    site: priority 1 runs 1 runs_ok 1 scheduled 1
    """)
def nothing_is_counted_where_nothing_was_done(story: Story) -> None:
    story.counts()
    story.open(run_of("r"))
    story.counts()


@scenario("""
    open r: new; publish r/0 to critical
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish r/0 to critical
    settle r:0 f1 ok: no; publish r/0 to critical
    claim 1 of r/0 by w: 1 f2 #1 after 0
    settle r:1 f2 failed and claim 1: yes; publish r/1 to parallel; next nothing
    claim 2 of r/1 by w: 2 f3 #1 after 0, 3 f4 #1 after 0
    settle r:2 f3 ok, r:3 f4 timed_out: yes, yes; publish nothing
    settle r:2 f3 ok, r:3 f4 timed_out: no, no; publish nothing
    status of r: tally=2|1|1|0|0|0
    outcomes: succeeded 2 failed 1 timed_out 1
    site: parallel 2 priority 1 rule|list 1 rule|pattern 3 runs 1 scheduled 1 sequential 2
    step Fetch: b43 1 failed 1 succeeded 1 us 2000
    step Send: b35 1 b79 1 succeeded 1 timed_out 1 us 1000500
    """)
def every_outcome_is_counted_once_by_step_and_status(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 2), ("parallel", "", 2), names=NAMES, rules={"pattern": 3, "list": 1}))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, took(step, 2.0))
    story.settle("r", 0, took(step, 2.0))
    (step,) = story.claim("r", 0)
    story.go_on("r", 0, failed(step))
    one, two = story.claim("r", 1, want=2)
    story.settle("r", 1, took(one, 0.5), took(two, 1000.0, "timed_out"))
    story.settle("r", 1, took(one, 0.5), took(two, 1000.0, "timed_out"))
    story.status("r", "tally")
    story.counts()


@scenario("""
    open r: new; publish r/0 to parallel
    claim 4 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0, 2 f3 #1 after 0, 3 f4 #1 after 0
    settle r:0 f1 retry, r:1 f2 park, r:2 f3 give back: yes, yes, yes; publish nothing
    settle r:3 f3 ok: no; publish nothing
    outcomes:
    site: priority 1 scheduled 1
    status of r: unclaimed on parallel, time for 0/1 1/0
    """)
def what_is_refused_or_comes_to_no_outcome_is_not_counted(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 4), names=NAMES))
    steps = story.claim("r", 0, want=4)
    story.settle("r", 0, retry(steps[0]), park(steps[1]), give_back(steps[2]))
    story.settle("r", 0, StepFate(3, steps[3].fence - 1, "S", "succeeded", '{"status":"succeeded","ran_ms":7}'))
    story.counts()
    story.status("r", "tally")


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish q/0 to parallel
    open p: new; publish p/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 failed: yes; publish nothing
    cancel q:0: publish nothing
    cancel q: publish nothing
    tick none: none; publish nothing
    outcomes: failed 1 timed_out 2 cancelled 2 skipped 2
    site: parallel 4 priority 3 runs 3 scheduled 3 sequential 3
    step Fetch: cancelled 1 failed 1 skipped 1 timed_out 1
    step Send: cancelled 1 skipped 1 timed_out 1
    status of r: tally=0|1|0|0|2|0
    status of q: tally=0|0|0|2|0|0
    status of p: tally=0|0|2|0|0|0
    """)
def what_never_ran_is_counted_too(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 3), names=["Fetch", "Fetch", "Send"]))
    story.open(run_of("q", ("parallel", "", 2), names=["Fetch", "Send"]))
    story.open(run_of("p", ("parallel", "", 2), names=["Fetch", "Send"]))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, failed(step))
    story.cancel_step("q", 0)
    story.cancel("q")
    story.bring_due("deadline")
    story.tick()
    story.counts()
    for run in ("r", "q", "p"):
        story.status(run, "tally")


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    tick none w: none; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f2 #2 after 0
    tick none w: none; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f3 #3 after 0
    tick none w: none; publish nothing
    outcomes: lost 1
    site: parallel 1 priority 1 runs 1 scheduled 1
    step Fetch: lost 1
    """)
def a_lost_step_is_counted_once(story: Story) -> None:
    story.open(run_of("r", ("parallel", "", 1), names=["Fetch"]))
    story.join("w")
    for _ in range(3):
        (step,) = story.claim("r", 0)
        story.die_alone("r", step)
    story.counts()


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish r/1 to parallel
    claim 1 of r/1 by w: 1 f2 #1 after 0
    settle r:1 f2 ok: yes; publish nothing
    outcomes: succeeded 1
    site: parallel 1 priority 1 runs 1 runs_ok 1 scheduled 1
    step Fetch: b39 1 succeeded 1 us 1000
    """)
def a_completion_body_is_not_counted(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1), body=("parallel", ""), names=["Fetch", "After"]))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, took(step, 1.0))
    (step,) = story.claim("r", 1)
    story.settle("r", 1, took(step, 1.0))
    story.counts()


@scenario("""
    open r: new; publish r/0 to critical
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 timed_out: yes; publish nothing
    settle r:0 f1 ok: no; publish nothing
    outcomes: timed_out 1
    site: priority 1 runs 1 scheduled 1 sequential 1
    step Fetch: b46 1 timed_out 1 us 3000
    """)
def a_settled_step_whose_code_still_runs_is_counted_once(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1), names=["Fetch"]))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, took(step, 3.0, "timed_out"), vacated=False)
    story.settle("r", 0, took(step, 4.0))
    story.counts()


@scenario(r"""
    open r: new; publish r/0 to parallel
    outcomes: succeeded 7
    site: parallel 7 priority 1 runs 1 runs_ok 1 scheduled 1
    step ","name":"Other: b39 1 succeeded 1 us 1000
    step \u0041: b39 1 succeeded 1 us 1000
    step a|b:c: b39 1 succeeded 1 us 1000
    step back\slash: b39 1 succeeded 1 us 1000
    step quo"ted: b39 1 succeeded 1 us 1000
    step {}: b39 1 succeeded 1 us 1000
    step ünïcode 日本: b39 1 succeeded 1 us 1000
    """)
def a_step_may_have_any_name(story: Story) -> None:
    story.join("w")
    names = ['quo"ted', "back\\slash", "ünïcode 日本", "a|b:c", '","name":"Other', "\\u0041", "{}"]
    story.open(run_of("r", ("parallel", "", len(names)), names=names))
    _work_off(story, [1.0] * len(names))
    story.counts()


@scenario("""
    open r: new; publish r/0 to parallel
    outcomes: succeeded 11
    site: parallel 11 priority 1 runs 1 runs_ok 1 scheduled 1
    step Fetch: b0 2 b126 1 b145 1 b39 1 b4 1 b40 1 b44 1 b79 1 succeeded 11 us 90001004075
    """)
def times_fall_into_quarter_powers_of_two(story: Story) -> None:
    story.join("w")
    times_ms = [0.0, 0.0004, 0.001, 0.002, 1.0, 1.024, 2.048, 1e3, 3.6e6, 8.64e7, 1e13]
    story.open(run_of("r", ("parallel", "", len(times_ms)), names=["Fetch"] * 20, max_concurrency=20))
    _work_off(story, times_ms)
    story.counts()


def _work_off(story: Story, times_ms: Sequence[float]) -> None:
    claimed = story.ledger.claim("r", 0, worker="w", want=20, with_meta=False)
    assert claimed is not None
    fates = [took(step, ran_ms) for step, ran_ms in zip(claimed.steps, times_ms, strict=True)]
    story.ledger.settle("r", 0, fates, worker="w")


@scenario("""
    open r: new; publish r/0 to critical
    open r: there; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish r/1 to parallel
    claim 2 of r/1 by w: 1 f2 #1 after 0, 2 f3 #1 after 0
    settle r:1 f2 ok: yes; publish nothing
    outcomes: succeeded 2
    site: priority 11 scheduled 1
    settle r:2 f3 ok: yes; publish nothing
    outcomes: succeeded 3
    site: parallel 2 priority 11 runs 1 runs_ok 1 scheduled 1 sequential 1
    open q: new; publish q/0 to parallel
    cancel q: publish nothing
    outcomes: succeeded 3 cancelled 1
    site: parallel 3 priority 12 rule|pattern 1 runs 2 runs_ok 1 scheduled 2 sequential 1
    runs in buckets: 2
    """)
def runs_are_counted_by_how_they_went(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1), ("parallel", "", 2), priority=11))
    story.open(run_of("r", ("critical", "a", 1), ("parallel", "", 2), priority=11))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    one, two = story.claim("r", 1, want=2)
    story.settle("r", 1, ok(one))
    story.counts()
    story.settle("r", 1, ok(two))
    story.counts()
    story.open(run_of("q", ("parallel", "", 1), rules={"pattern": 1}))
    story.cancel("q")
    story.counts()
    runs = {name: count for name, count in story.ledger.site.counts().items() if name.startswith("b")}
    story.tell("runs in buckets:", sum(runs.values()))
