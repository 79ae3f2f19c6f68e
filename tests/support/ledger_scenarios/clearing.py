"""Single steps that are cancelled, and queues that are cleared of what has not started."""

from steps.ledger.records import Beat, StepFate
from tests.support.ledger_story import Story, ok, park, retry, run_of, scenario
from tests.support.ledgers import FAILED

MANY = 1_200
CANCELLED = '{"status":"cancelled","attempts":1,"error":{"type":"Stopped","message":"the run was stopped"}}'


@scenario("""
    open r: new; publish r/0 to parallel
    cancel r:1: publish nothing
    cancel r:1: publish nothing
    outcome r:1: cancelled, 0 attempts; StepCancelled
    not this one
    pending: {'parallel': 3}
    claim 5 of r/0 by w: 0 f1 #1 after 0, 2 f2 #1 after 0, 3 f3 #1 after 0
    settle r:0 f1 ok, r:2 f2 ok, r:3 f3 ok: yes, yes, yes; publish nothing
    cancel r:0: publish nothing
    read r: settled, 0 left; succeeded cancelled succeeded succeeded
    event of r: run.started
    event of r: step.cancelled 1 #0 - - cancelled
    event of r: step.started 0 #1 f1 w
    event of r: step.started 2 #1 f2 w
    event of r: step.started 3 #1 f3 w
    event of r: step.completed 0 #1 f1 w succeeded
    event of r: step.completed 2 #1 f2 w succeeded
    event of r: step.completed 3 #1 f3 w succeeded
    event of r: run.completed
    left over: nothing
    """)
def a_cancelled_step_never_starts(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 4)))
    story.cancel_step("r", 1)
    story.cancel_step("r", 1)
    story.outcome("r", 1)
    story.pending()
    one, two, three = story.claim("r", 0, want=5)
    story.settle("r", 0, ok(one), ok(two), ok(three))
    story.cancel_step("r", 0)
    story.outcomes("r")
    story.events("r")
    story.left_over()


@scenario("""
    open r: new; publish r/0 to critical
    cancel r:2: publish nothing
    cancel r:0: publish nothing
    claim 1 of r/0 by w: 1 f1 #1 after 0
    settle r:1 f1 ok and claim 1: yes; publish nothing; next 3 f2 #1 after 0
    settle r:3 f2 ok: yes; publish nothing
    read r: settled, 0 left; cancelled succeeded cancelled succeeded
    left over: nothing
    """)
def the_step_that_a_lane_offers_is_stepped_over(story: Story) -> None:
    """The message on its way starts the next one."""
    story.join("w")
    story.open(run_of("r", ("critical", "a", 4), stops_at_failure=False))
    story.cancel_step("r", 2)
    story.cancel_step("r", 0)
    (step,) = story.claim("r", 0)
    (step,) = story.go_on("r", 0, ok(step))
    story.settle("r", 0, ok(step))
    story.outcomes("r")
    story.left_over()


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    cancel r:1: publish nothing
    read r: open, 2 left; - cancelled skipped -
    settle r:0 f1 ok: yes; publish q/0 to critical, r/1 to parallel
    outcome r:2: skipped, 0 attempts; Skipped
    step s1 before it did not succeed
    """)
def a_cancelled_critical_step_skips_those_after_it(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 3), ("parallel", "", 1)))
    story.open(run_of("q", ("critical", "a", 1)))
    (step,) = story.claim("r", 0)
    story.cancel_step("r", 1)
    story.outcomes("r")
    story.settle("r", 0, ok(step))
    story.outcome("r", 2)


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    cancel r:1: publish nothing
    cancel r:2: publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok and claim 1: yes; publish q/0 to critical, r/3 to critical; next nothing
    lane a: r (held by r)
    lane b: q (held by q)
    lane c: empty (held by nobody)
    claim 1 of r/3 by w: 3 f2 #1 after 0
    settle r:3 f2 ok: yes; publish nothing
    read r: settled, 0 left; succeeded cancelled cancelled succeeded
    """)
def parcels_that_were_cancelled_whole_hold_up_nothing(story: Story) -> None:
    story.join("w")
    lanes = [("critical", lane, 1) for lane in ("a", "b", "c", "a")]
    story.open(run_of("r", *lanes, stops_at_failure=False))
    story.open(run_of("q", ("critical", "b", 1)))
    story.cancel_step("r", 1)
    story.cancel_step("r", 2)
    (step,) = story.claim("r", 0)
    story.go_on("r", 0, ok(step))
    story.line("a", "b", "c")
    (step,) = story.claim("r", 3)
    story.settle("r", 3, ok(step))
    story.outcomes("r")


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    cancel r:0: publish q/0 to critical
    lane a: q (held by q)
    cancel q:0: publish nothing
    left over: nothing
    """)
def a_lane_goes_to_the_next_run_when_its_last_step_is_cancelled(story: Story) -> None:
    story.open(run_of("r", ("critical", "a", 1)))
    story.open(run_of("q", ("critical", "a", 1)))
    story.cancel_step("r", 0)
    story.line("a")
    story.cancel_step("q", 0)
    story.left_over()


@scenario("""
    open r: new; publish r/0 to critical
    cancel r:0: publish r/1 to parallel
    lane a: empty (held by nobody)
    """)
def the_last_critical_step_that_is_cancelled_opens_the_gate(story: Story) -> None:
    story.open(run_of("r", ("critical", "a", 1), ("parallel", "", 1)))
    story.cancel_step("r", 0)
    story.line("a")


@scenario("""
    open r: new; publish r/0 to critical, r/1 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 retry: yes; publish nothing
    claim 1 of r/1 by w: 2 f2 #1 after 0
    settle r:2 f2 retry: yes; publish nothing
    cancel r:0: publish r/0 to critical
    cancel r:2: publish nothing
    outcome r:2: cancelled, 1 attempts; StepCancelled
    not this one
    tick none: none; publish nothing
    claim 1 of r/0 by w: 1 f3 #1 after 0
    settle r:1 f3 ok: yes; publish nothing
    read r: settled, 0 left; cancelled succeeded cancelled
    left over: nothing
    """)
def a_step_that_waits_for_its_retry_may_be_cancelled(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 2), ("parallel", "", 1), stops_at_failure=False, critical_first=False))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, retry(step))
    (other,) = story.claim("r", 1)
    story.settle("r", 1, retry(other))
    story.cancel_step("r", 0)
    story.cancel_step("r", 2)
    story.outcome("r", 2)
    story.bring_due("retry")
    story.tick()
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.outcomes("r")
    story.left_over()


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 park: yes; publish q/0 to critical
    lane a: q (held by q)
    lane b: empty (held by nobody)
    cancel r:0: publish r/1 to critical
    lane a: q (held by q)
    lane b: r (held by r)
    claim 1 of r/1 by w: 1 f2 #1 after 0
    settle r:1 f2 ok: yes; publish nothing
    read r: settled, 0 left; cancelled succeeded
    """)
def a_run_that_has_stepped_out_for_a_cancelled_step_comes_back_for_the_others(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1), ("critical", "b", 1), stops_at_failure=False))
    story.open(run_of("q", ("critical", "a", 1)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, park(step))
    story.line("a", "b")
    story.cancel_step("r", 0)
    story.line("a", "b")
    (step,) = story.claim("r", 1)
    story.settle("r", 1, ok(step))
    story.outcomes("r")


@scenario("""
    open r: new; publish r/0 to parallel
    claim 3 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0, 2 f3 #1 after 0
    cancel r:0: publish nothing
    cancel r:1: publish nothing
    cancel r:2: publish nothing
    tick beat w: alive; publish nothing ; stop r:0, r:1, r:2
    settle r:0 f1 cancelled: yes; publish nothing
    outcome r:0: cancelled, 1 attempts; StepCancelled
    not this one
    settle r:1 f2 ok: yes; publish nothing
    settle r:2 f3 failed: yes; publish nothing
    read r: settled, 0 left; cancelled succeeded failed
    """)
def a_step_that_runs_is_asked_to_stop(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 3)))
    one, two, three = story.claim("r", 0, want=3)
    for step in (one, two, three):
        story.cancel_step("r", step.index)
    story.tick(Beat("w", "beat", held=("r:0", "r:1", "r:2")))
    story.settle("r", 0, StepFate(0, one.fence, "S", "cancelled", CANCELLED))
    story.outcome("r", 0)
    story.settle("r", 0, ok(two))
    story.settle("r", 0, StepFate(2, three.fence, "S", "failed", FAILED))
    story.outcomes("r")


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to critical
    claim 2 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0; more
    claim 1 of q/0 by w: 0 f3 #1 after 0
    cancel r:0: publish nothing
    cancel r:1: publish nothing
    cancel q:0: publish nothing
    settle r:0 f1 retry: yes; publish nothing
    tick none: none; publish r/0 to parallel, q/0 to critical
    outcome r:0: cancelled, 1 attempts; StepCancelled
    not this one
    outcome r:1: cancelled, 1 attempts; StepCancelled
    not this one
    read q: open, 1 left; cancelled -
    """)
def a_step_that_was_cancelled_while_it_ran_does_not_start_again(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 3)))
    story.open(run_of("q", ("critical", "a", 2), stops_at_failure=False))
    one, _ = story.claim("r", 0, want=2)
    story.claim("q", 0)
    for run, index in (("r", 0), ("r", 1), ("q", 0)):
        story.cancel_step(run, index)
    story.settle("r", 0, retry(one))
    story.reap("w")
    story.outcome("r", 0)
    story.outcome("r", 1)
    story.outcomes("q")


@scenario("""
    open r: new; publish r/0 to parallel
    claim 2 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0
    cancel r:2: publish nothing
    cancel r:3: publish nothing
    cancel r:5: publish nothing
    settle r:0 f1 ok, r:1 f2 ok and claim 2: yes, yes; publish nothing; next 4 f3 #1 after 0
    cancel r:4: publish nothing
    status of r: running=1, left=1
    """)
def a_cancelled_step_in_the_middle_of_a_parcel_is_passed_over(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 6), max_concurrency=2))
    one, two = story.claim("r", 0, want=2)
    for index in (2, 3, 5):
        story.cancel_step("r", index)
    story.go_on("r", 0, ok(one), ok(two), want=2)
    story.cancel_step("r", 4)
    story.status("r", "running", "left")


@scenario("""
    open r: new; publish r/0 to parallel
    claim 2 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0
    tick none: none; publish r/0 to parallel
    cancel r:0: publish nothing
    claim 2 of r/0 by w: 1 f3 #2 after 0 suspect
    settle r:1 f3 ok: yes; publish nothing
    read r: settled, 0 left; cancelled succeeded
    """)
def a_step_that_was_given_back_may_be_cancelled(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 2)))
    story.claim("r", 0, want=2)
    story.reap("w")
    story.cancel_step("r", 0)
    story.join("w")
    (step,) = story.claim("r", 0, want=2)
    story.settle("r", 0, ok(step))
    story.outcomes("r")


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0; more
    settle r:0 f1 ok: yes; publish r/0 to parallel
    cancel r:2: publish nothing
    cancel r:1: publish r/1 to parallel
    notice to me: r; succeeded cancelled
    cancel r:2: publish nothing
    claim 1 of r/1 by w: 2 f2 #1 after 0
    """)
def the_last_open_step_that_is_cancelled_ends_the_run(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 2), body=("parallel", "")), inbox="me")
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.cancel_step("r", 2)
    story.cancel_step("r", 1)
    story.notices("me")
    story.cancel_step("r", 2)
    story.claim("r", 1)


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0; more
    cancel r: publish nothing
    cancel r:0: publish nothing
    clear parallel of r: 0 cancelled; publish nothing
    tick beat w: alive; publish nothing ; stop r:0
    clear parallel of never: RunUnknown ('never',)
    """)
def a_run_that_stops_already_is_left_alone(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 2)))
    story.claim("r", 0)
    story.cancel("r")
    story.cancel_step("r", 0)
    story.clear("r", "parallel")
    story.tick(Beat("w", "beat", held=("r:0",)))
    story.clear("never", "parallel")


@scenario("""
    open r: new; publish r/0 to critical, r/1 to parallel, r/2 to other
    claim 1 of r/1 by w: 1 f1 #1 after 0; more
    backlog of parallel: ['r']
    clear parallel of r: 2 cancelled; publish nothing
    clear parallel of r: 0 cancelled; publish nothing
    read r: open, 4 left; - - cancelled cancelled - -
    pending: {'critical': 1, 'other': 2, 'parallel': 1}
    clear critical of r: 1 cancelled; publish nothing
    clear other of r: 2 cancelled; publish nothing
    backlog of critical: []
    backlog of parallel: ['r']
    backlog of other: []
    """)
def a_queue_is_cleared_of_what_has_not_started(story: Story) -> None:
    story.join("w")
    queues = [("critical", "a", 1), ("parallel", "", 3), ("other", "", 2)]
    story.open(run_of("r", *queues, critical_first=False))
    story.claim("r", 1)
    story.tell("backlog of parallel:", story.ledger.site.backlog("parallel", 0, 10))
    story.clear("r", "parallel")
    story.clear("r", "parallel")
    story.outcomes("r")
    story.pending()
    story.clear("r", "critical")
    story.clear("r", "other")
    for queue in ("critical", "parallel", "other"):
        story.tell(f"backlog of {queue}:", story.ledger.site.backlog(queue, 0, 10))


@scenario("""
    open r: new; publish r/0 to parallel, r/1 to other
    clear parallel of r: 1200 cancelled; publish nothing
    read r: open, 1 left; {'cancelled': 1200, '-': 1}
    pending: {'other': 1, 'parallel': 0}
    claim 1 of r/0 by w: nothing
    claim 1 of r/1 by w: 1200 f1 #1 after 0
    """)
def more_steps_are_cleared_than_one_call_may_touch(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", MANY), ("other", "", 1)))
    story.clear("r", "parallel")
    story.outcomes_in_short("r")
    story.pending()
    story.claim("r", 0)
    story.claim("r", 1)


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: nothing
    tick none: none; publish r/0 to parallel
    claim 1 of r/0 by w: nothing
    tick none: none; publish r/0 to parallel
    claim 1 of r/0 by w: 1199 f1 #1 after 0
    """)
def more_cancelled_steps_than_one_call_may_touch_do_not_hide_those_behind(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", MANY), max_concurrency=1))
    for first in range(0, MANY - 1, 500):
        story.ledger._run("cancel_steps", "r", first, min(500, MANY - 1 - first), "", "enough", 0)
    story.claim("r", 0)
    story.tick()
    story.claim("r", 0)
    story.tick()
    story.claim("r", 0)


@scenario("""
    open r: new; publish r/0 to critical
    unfinished: ['r'] 1 0
    claim 1 of r/0 by w: nothing
    published: [('r', 0)]
    claim 1 of r/0 by w: 1001 f1 #1 after 0
    """)
def a_lane_with_more_cancelled_steps_than_one_call_may_touch_goes_on(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", MANY), stops_at_failure=False))
    story.ledger._run("cancel_steps", "r", 1, 500, "", "enough", 0)
    story.ledger._run("cancel_steps", "r", 501, 500, "", "enough", 0)
    *_, unfinished, cancelled, next_ = story.ledger._run("cancel_steps", "r", 0, 1, "", "enough", 0)
    story.tell("unfinished:", [run.decode() for run in unfinished], cancelled, next_)
    story.claim("r", 0)
    story.tell("published:", [(one.run_id, one.parcel) for one in story.ledger.finish(["r"])])
    story.claim("r", 0)
