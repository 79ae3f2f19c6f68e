"""Cancels and deadlines: what has not started never starts, what runs is stopped."""

import json

from steps.ledger.records import Beat, StepFate
from tests.support.ledger_story import Story, failed, ok, park, retry, run_of, scenario

MANY = 1100


@scenario("""
    open r: new; publish r/0 to critical, r/1 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 2 of r/1 by v: 2 f2 #1 after 0, 3 f3 #1 after 0; more
    cancel r: publish nothing
    read r: open, 3 left; - cancelled - - cancelled
    tick beat w: alive; publish nothing ; stop r:0
    tick beat v: alive; publish nothing ; stop r:2, r:3
    tick beat v: alive; publish nothing
    claim 5 of r/1 by w: nothing
    settle r:2 f2 retry: yes; publish nothing
    settle r:3 f3 ok: yes; publish nothing
    lane a: r (held by r)
    settle r:0 f1 failed and claim 1: yes; publish nothing; next nothing
    lane a: empty (held by nobody)
    read r: settled, 0 left; failed cancelled cancelled succeeded cancelled
    notice to me: r; failed cancelled cancelled succeeded cancelled
    pending: {'critical': 0, 'parallel': 0}
    left over: nothing
    """)
def a_cancel_ends_what_has_not_started_and_asks_the_rest_to_stop(story: Story) -> None:
    story.join("w", "v")
    story.open(run_of("r", ("critical", "a", 2), ("parallel", "", 3), critical_first=False), inbox="me")
    (critical,) = story.claim("r", 0)
    one, two = story.claim("r", 1, want=2, worker="v")
    story.cancel("r")
    story.outcomes("r")
    story.tick(Beat("w", "beat", held=("r:0",)))
    story.tick(Beat("v", "beat", held=("r:2", "r:3")))
    story.tick(Beat("v", "beat", held=("r:2", "r:3")))
    story.claim("r", 1, want=5)
    story.settle("r", 1, retry(one), worker="v")
    story.settle("r", 1, ok(two), worker="v")
    story.line("a")
    story.go_on("r", 0, failed(critical))
    story.line("a")
    story.outcomes("r")
    story.notices("me")
    story.pending()
    story.left_over()


@scenario("""
    open r: new; publish r/0 to critical, r/1 to parallel
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 2 of r/1 by v: 1 f2 #1 after 0, 2 f3 #1 after 0
    cancel r: publish nothing
    tick none: none; publish nothing
    read r: open, 3 left; - - -
    tick none: none; publish nothing
    read r: settled, 0 left; cancelled cancelled cancelled
    notice to me: r; cancelled cancelled cancelled
    lane a: r q (held by r)
    claim 1 of q/0 by w: nothing
    settle r:1 f2 ok: no; publish nothing
    vacate r:0 f1: yes; publish q/0 to critical
    claim 1 of q/0 by w: 0 f4 #1 after 0
    read r: settled, 0 left; cancelled cancelled cancelled
    tick none: none; publish nothing
    r:0 is vacated #1, died 0, failed 0
    r:1 is vacated #1, died 0, failed 0
    r:2 is vacated #1, died 0, failed 0
    """)
def what_ignores_a_stop_is_settled_after_the_grace(story: Story) -> None:
    story.join("w", "v")
    story.open(run_of("r", ("critical", "a", 1), ("parallel", "", 2), critical_first=False), inbox="me")
    story.open(run_of("q", ("critical", "a", 1)))
    (critical,) = story.claim("r", 0)
    one, _two = story.claim("r", 1, want=2, worker="v")
    story.cancel("r")
    story.tick()
    story.outcomes("r")
    story.bring_due("final")
    story.tick()
    story.outcomes("r")
    story.notices("me")
    story.line("a")
    story.claim("q", 0)
    story.settle("r", 1, ok(one), worker="v")
    story.vacate("r", 0, critical.fence)
    story.claim("q", 0)
    story.outcomes("r")
    story.reap("v")
    story.states("r")


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing
    cancel r: publish nothing
    read r: settled, 0 left; succeeded
    claim 1 of q/0 by w: 0 f2 #1 after 0
    cancel q: publish nothing
    cancel q: publish nothing
    tick beat w: alive; publish nothing ; stop q:0
    """)
def a_cancel_after_the_end_or_a_second_one_changes_nothing(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1)))
    story.open(run_of("q", ("parallel", "", 1)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.cancel("r")
    story.outcomes("r")
    story.claim("q", 0)
    story.cancel("q")
    story.cancel("q")
    story.tick(Beat("w", "beat", held=("q:0",)))


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    the first slice: b'cancelled' publish [] more of [b'r']
    left: 600
    lane a: r q (held by r)
    tick none: none; publish nothing ; more of r
    tick none: none; publish q/0 to critical
    read r: settled, 0 left; {'cancelled': 1100}
    lane a: q (held by q)
    notice to me: r; no outcomes
    """)
def a_large_run_is_cancelled_a_slice_at_a_time(story: Story) -> None:
    story.open(run_of("r", ("critical", "a", MANY)), inbox="me")
    story.open(run_of("q", ("critical", "a", 1)))
    reply = story.ledger._run("cancel", "r", "enough", 5000)
    story.tell("the first slice:", reply[1], "publish", reply[2], "more of", reply[3])
    story.tell("left:", story.ledger.read("r").left)
    story.line("a")
    unfinished = story.tick().unfinished
    story.tick(Beat(runs=unfinished))
    story.outcomes_in_short("r")
    story.line("a")
    story.notices("me")


@scenario("""
    open o: new; publish o/0 to parallel
    open p: new; publish p/0 to parallel
    open q: new; publish q/0 to parallel
    tick none: none; publish nothing ; more of p, q
    left: [0, 100, 300]
    then: ()
    left: [0, 0, 0]
    """)
def many_deadlines_at_once_touch_no_more_than_one_slice_a_call(story: Story) -> None:
    for name in ("o", "p", "q"):
        story.open(run_of(name, ("parallel", "", 300)))
    story.bring_due("deadline")
    ticked = story.tick()
    story.tell("left:", [story.ledger.read(name).left for name in ("o", "p", "q")])
    story.tell("then:", story.ledger.finish(ticked.unfinished))
    story.tell("left:", [story.ledger.read(name).left for name in ("o", "p", "q")])


@scenario("""
    open r: new; publish r/0 to parallel
    claim 3 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0, 2 f3 #1 after 0; more
    settle r:0 f1 retry: yes; publish nothing
    tick beat w: alive; publish nothing ; stop r:1, r:2
    read r: open, 2 left; timed_out - - timed_out
    settle r:1 f2 park: yes; publish nothing
    outcome r:1: timed_out, 0 attempts; DeadlineExceeded
    the run reached its deadline before this step settled
    tick none: none; publish nothing
    read r: settled, 0 left; timed_out timed_out timed_out timed_out
    outcome r:2: timed_out, 1 attempts; DeadlineExceeded
    the run reached its deadline before this step settled
    tick none: none; publish nothing
    left over: nothing
    """)
def a_deadline_ends_waits_and_running_steps(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 4)))
    one, two, _three = story.claim("r", 0, want=3)
    story.settle("r", 0, retry(one))
    story.bring_due("deadline")
    story.tick(Beat("w", "beat", held=("r:1", "r:2")))
    story.outcomes("r")
    story.settle("r", 0, park(two))
    story.outcome("r", 1)
    story.bring_due("final")
    story.tick()
    story.outcomes("r")
    story.outcome("r", 2)
    story.reap("w")
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    tick none: none; publish nothing
    settle r:0 f1 cancelled: yes; publish nothing
    outcome r:0: timed_out, 1 attempts; DeadlineExceeded
    the run reached its deadline before this step settled
    ['attempts', 'error', 'ran_ms', 'status']
    """)
def a_step_stopped_with_its_run_ends_as_the_run_does(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1)))
    (step,) = story.claim("r", 0)
    story.bring_due("deadline")
    story.tick()
    stopped = (
        '{"status":"cancelled","attempts":1,"ran_ms":5.5,"error":{"type":"Stopped","message":"the run was stopped"}}'
    )
    story.settle("r", 0, StepFate(step.index, step.fence, "S", "cancelled", stopped))
    story.outcome("r", 0)
    story.tell(sorted(json.loads(story.ledger.read("r").outcomes[0] or "null")))


@scenario("""
    open r: new; publish r/0 to critical, r/1 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of r/1 by w: 1 f2 #1 after 0
    cancel r: publish nothing
    tick none: none; publish nothing
    read r: settled, 0 left; cancelled cancelled
    left over: nothing
    """)
def the_dead_of_a_stopped_run_are_not_run_again(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1), ("parallel", "", 1), critical_first=False))
    story.claim("r", 0)
    story.claim("r", 1)
    story.cancel("r")
    story.reap("w")
    story.outcomes("r")
    story.left_over()
