"""Outcomes are fixed once, by whoever holds the fence; what follows from them."""

from tests.support.ledger_story import Story, failed, give_back, ok, park, retry, run_of, scenario
from tests.support.ledgers import OK

MANY = 1100
"""More steps than two calls may end."""


@scenario("""
    open r: new; publish r/0 to parallel
    claim 2 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0
    settle r:0 f1 give back: yes; publish nothing
    settle r:0 f1 ok: no; publish nothing
    claim 1 of r/0 by v: 0 f3 #2 after 0
    settle r:0 f1 ok, r:1 f2 failed: no, yes; publish nothing
    settle r:0 f3 ok: yes; publish nothing
    settle r:0 f3 failed: no; publish nothing
    settle r:1 f2 failed: no; publish nothing
    read r: settled, 0 left; succeeded failed
    """)
def a_fence_that_no_longer_holds_changes_nothing(story: Story) -> None:
    story.join("w", "v")
    story.open(run_of("r", ("parallel", "", 2)))
    one, two = story.claim("r", 0, want=2)
    story.settle("r", 0, give_back(one))
    story.settle("r", 0, ok(one))
    (again,) = story.claim("r", 0, worker="v")
    story.settle("r", 0, ok(one), failed(two))
    story.settle("r", 0, ok(again), worker="v")
    story.settle("r", 0, failed(again), worker="v")
    story.settle("r", 0, failed(two))
    story.outcomes("r")


@scenario("""
    open r: new; publish r/0 to critical
    claim 1 of r/0 by w: 0 f1 #1 after 0
    tick none: none; publish r/0 to critical
    claim 1 of r/0 by v: 0 f2 #2 after 0
    settle r:0 f1 ok and claim 1: no; publish nothing; next nothing
    settle r:0 f2 ok and claim 1: yes; publish nothing; next 1 f3 #1 after 0
    """)
def a_refused_settle_is_granted_no_further_step_of_a_lane(story: Story) -> None:
    story.join("w", "v")
    story.open(run_of("r", ("critical", "a", 2)))
    (step,) = story.claim("r", 0)
    story.reap("w")
    story.join("w")
    (again,) = story.claim("r", 0, worker="v")
    story.go_on("r", 0, ok(step))
    story.go_on("r", 0, ok(again), worker="v")


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0; more
    tick none: none; publish r/0 to parallel
    settle r:0 f1 ok and claim 5: no; publish nothing; next 0 f2 #2 after 0 suspect, 1 f3 #1 after 0
    """)
def a_refused_settle_of_a_parallel_step_holds_up_nothing(story: Story) -> None:
    story.join("w", "v")
    story.open(run_of("r", ("parallel", "", 2)))
    (step,) = story.claim("r", 0)
    story.reap("w")
    story.join("w")
    story.go_on("r", 0, ok(step), want=5)


@scenario("""
    open r: new; publish r/0 to parallel
    claim 2 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0
    settle r:0 f1 retry, r:1 f2 retry and claim 2: yes, yes; publish nothing; next nothing
    r:0 is delayed #1, died 0, failed 1
    r:1 is delayed #1, died 0, failed 1
    tick none: none; publish nothing
    due when the first one is: True
    tick none: none; publish r/0 to parallel
    claim 2 of r/0 by w: 0 f3 #2 after 1, 1 f4 #2 after 1
    """)
def a_failure_is_tried_again_when_due(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 2)))
    one, two = story.claim("r", 0, want=2)
    story.go_on("r", 0, retry(one, 60), retry(two, 50), want=2)
    story.states("r")
    next_due_s = story.tick().next_due_s
    assert next_due_s is not None
    story.tell("due when the first one is:", 40 < next_due_s <= 50)
    story.bring_due("retry")
    story.tick()
    story.claim("r", 0, want=2)


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 park and claim 1: yes; publish nothing; next nothing
    tick none: none; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f2 #1 after 0
    event of r: run.started
    event of r: step.started 0 #1 f1 w
    event of r: step.parked 0 #0 f1 w
    event of r: step.started 0 #1 f2 w
    """)
def a_parked_step_is_no_failure(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1)))
    (step,) = story.claim("r", 0)
    story.go_on("r", 0, park(step))
    story.bring_due("retry")
    story.tick()
    story.claim("r", 0)
    story.events("r")


@scenario("""
    open r: new; publish r/0 to critical, r/1 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 give back: yes; publish r/0 to critical
    claim 2 of r/1 by w: 1 f2 #1 after 0, 2 f3 #1 after 0
    settle r:1 f2 give back: yes; publish nothing
    settle r:2 f3 give back: yes; publish r/1 to parallel
    claim 2 of r/1 by w: 1 f4 #2 after 0, 2 f5 #2 after 0
    claim 1 of r/0 by w: 0 f6 #2 after 0
    """)
def a_released_step_is_published_again(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1), ("parallel", "", 2), critical_first=False))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, give_back(step))
    one, two = story.claim("r", 1, want=2)
    story.settle("r", 1, give_back(one))
    story.settle("r", 1, give_back(two))
    story.claim("r", 1, want=2)
    story.claim("r", 0)


@scenario("""
    open r: new; publish r/0 to critical
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok and claim 1: yes; publish nothing; next 1 f2 #1 after 0
    settle r:1 f2 failed and claim 1: yes; publish r/2 to parallel; next nothing
    lane a: empty (held by nobody)
    lane b: empty (held by nobody)
    read r: open, 1 left; succeeded failed skipped skipped -
    claim 1 of r/2 by w: 4 f3 #1 after 0
    settle r:4 f3 failed: yes; publish nothing
    read r: settled, 0 left; succeeded failed skipped skipped failed
    """)
def a_failed_critical_step_skips_those_after_it(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 3), ("critical", "b", 1), ("parallel", "", 1)))
    (step,) = story.claim("r", 0)
    (step,) = story.go_on("r", 0, ok(step))
    story.go_on("r", 0, failed(step))
    story.line("a", "b")
    story.outcomes("r")
    (step,) = story.claim("r", 2)
    story.settle("r", 2, failed(step))
    story.outcomes("r")


@scenario("""
    open r: new; publish r/0 to critical
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 failed and claim 1: yes; publish nothing; next 1 f2 #1 after 0
    settle r:1 f2 ok and claim 1: yes; publish nothing; next nothing
    read r: settled, 0 left; failed succeeded
    """)
def with_strategy_simple_the_others_run_on(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 2), stops_at_failure=False))
    (step,) = story.claim("r", 0)
    (step,) = story.go_on("r", 0, failed(step))
    story.go_on("r", 0, ok(step))
    story.outcomes("r")


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 failed: yes; publish nothing; more of r
    left: 599
    claim 1 of r/0 by w: nothing
    finished: ['q']
    read r: settled, 0 left; {'failed': 1, 'skipped': 1099}
    outcome r:1099: skipped, 0 attempts; Skipped
    step s0 before it did not succeed
    lane a: q (held by q)
    cancel q: publish nothing
    left over: nothing
    """)
def many_skipped_steps_are_ended_a_slice_at_a_time(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", MANY)))
    story.open(run_of("q", ("critical", "a", 1)))
    (step,) = story.claim("r", 0)
    settled = story.settle("r", 0, failed(step))
    story.tell("left:", story.ledger.read("r").left)
    story.claim("r", 0)
    story.tell("finished:", [one.run_id for one in story.ledger.finish(settled.unfinished)])
    story.outcomes_in_short("r")
    story.outcome("r", MANY - 1)
    story.line("a")
    story.cancel("q")
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing
    the same text: True
    settle gone:0 f1 ok: no; publish nothing
    settle gone:0 f1 ok and claim 1: no; publish nothing; next nothing
    """)
def outcomes_are_kept_as_they_were_said(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    (text,) = story.ledger.read("r").outcomes
    story.tell("the same text:", text == OK.encode())
    story.settle("gone", 0, ok(step))
    story.go_on("gone", 0, ok(step))
