"""Runs that are paused: nothing of them starts, and nobody waits for them."""

from tests.support.ledger_story import Story, ok, retry, run_of, scenario


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    pause r: publish nothing
    lane a: r q (held by r)
    settle r:0 f1 ok and claim 1: yes; publish q/0 to critical; next nothing
    lane a: q (held by q)
    claim 1 of r/0 by w: nothing
    claim 1 of q/0 by w: 0 f2 #1 after 0
    resume r: publish nothing
    lane a: q r (held by q)
    settle q:0 f2 ok: yes; publish r/0 to critical
    claim 1 of r/0 by w: 1 f3 #1 after 0
    settle r:1 f3 ok and claim 1: yes; publish nothing; next 2 f4 #1 after 0
    settle r:2 f4 ok: yes; publish nothing
    event of r: run.started
    event of r: step.started 0 #1 f1 w
    event of r: run.paused
    event of r: step.completed 0 #1 f1 w succeeded
    event of r: run.resumed
    event of r: step.started 1 #1 f3 w
    event of r: step.completed 1 #1 f3 w succeeded
    event of r: step.started 2 #1 f4 w
    event of r: step.completed 2 #1 f4 w succeeded
    event of r: run.completed
    left over: nothing
    """)
def a_paused_run_finishes_its_step_and_leaves_its_lane_to_others(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 3)))
    story.open(run_of("q", ("critical", "a", 1)))
    (step,) = story.claim("r", 0)
    story.pause("r")
    story.line("a")
    story.go_on("r", 0, ok(step))
    story.line("a")
    story.claim("r", 0)
    (other,) = story.claim("q", 0)
    story.resume("r")
    story.line("a")
    story.settle("q", 0, ok(other))
    (step,) = story.claim("r", 0)
    (step,) = story.go_on("r", 0, ok(step))
    story.settle("r", 0, ok(step))
    story.events("r")
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    claim 2 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0; more
    pause r: publish nothing
    pause r: publish nothing
    claim 2 of r/0 by w: nothing
    settle r:0 f1 ok, r:1 f2 ok and claim 2: yes, yes; publish nothing; next nothing
    tick none: none; publish nothing
    status of r: paused=1
    resume r: publish r/0 to parallel
    resume r: publish nothing
    claim 4 of r/0 by w: 2 f3 #1 after 0, 3 f4 #1 after 0
    settle r:2 f3 ok, r:3 f4 ok: yes, yes; publish nothing
    left over: nothing
    """)
def a_paused_run_starts_none_of_its_parallel_steps(story: Story) -> None:
    story.join("w", queue="parallel")
    story.open(run_of("r", ("parallel", "", 4)))
    steps = story.claim("r", 0, 2)
    story.pause("r")
    story.pause("r")
    story.claim("r", 0, 2)
    story.go_on("r", 0, *[ok(step) for step in steps], want=2)
    story.bring_due("check")
    story.tick()
    story.status("r", "paused")
    story.resume("r")
    story.resume("r")
    steps = story.claim("r", 0, 4)
    story.settle("r", 0, *[ok(step) for step in steps])
    story.left_over()


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    pause r: publish nothing
    tick none: none; publish q/0 to critical
    lane a: q (held by q)
    claim 1 of q/0 by v: 0 f2 #1 after 0
    settle q:0 f2 ok: yes; publish nothing
    resume r: publish r/0 to critical
    lane a: r (held by r)
    """)
def a_paused_run_whose_worker_dies_leaves_its_lane_to_others(story: Story) -> None:
    story.join("w")
    story.join("v")
    story.open(run_of("r", ("critical", "a", 2)))
    story.open(run_of("q", ("critical", "a", 1)))
    story.claim("r", 0)
    story.pause("r")
    story.reap("w")
    story.line("a")
    (other,) = story.claim("q", 0, worker="v")
    story.settle("q", 0, ok(other), worker="v")
    story.resume("r")
    story.line("a")


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    pause r: publish q/0 to critical
    lane a: q (held by q)
    resume r: publish nothing
    lane a: q r (held by q)
    """)
def a_run_that_is_paused_before_its_first_step_goes_to_the_end_of_the_line(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1)))
    story.open(run_of("q", ("critical", "a", 1)))
    story.pause("r")
    story.line("a")
    story.resume("r")
    story.line("a")


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    pause q: publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing; more of q
    begun: []
    lane a: empty (held by nobody)
    resume q: publish q/0 to critical, q/1 to parallel
    lane a: q (held by q)
    """)
def a_run_paused_while_it_waits_for_another_begins_only_when_it_is_resumed(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1)))
    story.open(run_of("q", ("critical", "a", 1), ("parallel", "", 1), critical_first=False, after=("r",)))
    story.pause("q")
    (step,) = story.claim("r", 0)
    settled = story.settle("r", 0, ok(step))
    story.tell("begun:", [(one.run_id, one.parcel) for one in story.ledger.finish(settled.unfinished)])
    story.line("a")
    story.resume("q")
    story.line("a")


@scenario("""
    open r: new; publish r/0 to critical, r/1 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of r/1 by w: 2 f2 #1 after 0
    settle r:0 f1 retry: yes; publish nothing
    settle r:2 f2 retry: yes; publish nothing
    pause r: publish nothing
    tick none: none; publish nothing
    lane a: empty (held by nobody)
    resume r: publish r/0 to critical, r/1 to parallel
    lane a: r (held by r)
    claim 1 of r/0 by w: 0 f3 #2 after 1
    claim 1 of r/1 by w: 2 f4 #2 after 1
    """)
def a_retry_that_falls_due_while_its_run_is_paused_waits_for_it(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 2), ("parallel", "", 1), critical_first=False))
    (step,) = story.claim("r", 0)
    (beside,) = story.claim("r", 1)
    story.settle("r", 0, retry(step))
    story.settle("r", 1, retry(beside))
    story.pause("r")
    story.bring_due("retry")
    story.tick()
    story.line("a")
    story.resume("r")
    story.line("a")
    story.claim("r", 0)
    story.claim("r", 1)


@scenario(
    """
    open r: new; publish r/0 to critical
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 retry: yes; publish nothing
    pause r: publish nothing
    resume r: publish nothing
    lane a: empty (held by nobody)
    tick none: none; publish r/0 to critical
    lane a: r (held by r)
    """,
    lane_hold_s=10,
)
def a_run_whose_next_step_waits_for_long_stays_outside_of_its_lane_when_it_is_resumed(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, retry(step, 60))
    story.pause("r")
    story.resume("r")
    story.line("a")
    story.bring_due("retry")
    story.tick()
    story.line("a")


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish q/0 to parallel
    pause r: publish nothing
    pause q: publish nothing
    cancel r: publish nothing
    tick none: none; publish nothing
    read r: settled, 0 left; cancelled cancelled
    read q: settled, 0 left; timed_out timed_out
    pause r: publish nothing
    resume q: publish nothing
    left over: nothing
    """)
def a_paused_run_is_cancelled_and_reaches_its_deadline_like_any_other(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 2)))
    story.open(run_of("q", ("parallel", "", 2)))
    story.pause("r")
    story.pause("q")
    story.cancel("r")
    story.bring_due("deadline")
    story.tick()
    story.outcomes("r")
    story.outcomes("q")
    story.pause("r")
    story.resume("q")
    story.left_over()


@scenario("""
    pause r: RunUnknown
    resume r: RunUnknown
    """)
def nobody_can_pause_a_run_that_is_gone(story: Story) -> None:
    story.pause("r")
    story.resume("r")


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    pause r: publish nothing
    settle r:0 f1 ok: yes; publish r/1 to critical
    claim 1 of r/1 by w: 1 f2 #1 after 0
    settle r:1 f2 ok: yes; publish nothing
    open q: new; publish q/0 to parallel
    claim 1 of q/0 by w: 0 f3 #1 after 0
    pause q: publish nothing
    settle q:0 f3 ok: yes; publish q/1 to parallel
    claim 1 of q/1 by w: 1 f4 #1 after 0
    settle q:1 f4 ok: yes; publish nothing
    left over: nothing
    """)
def a_run_that_is_paused_when_its_last_step_ends_has_its_body_all_the_same(story: Story) -> None:
    story.join("w")
    for name, body in (("r", ("critical", "a")), ("q", ("parallel", ""))):
        story.open(run_of(name, ("parallel", "", 1), body=body))
        (step,) = story.claim(name, 0)
        story.pause(name)
        story.settle(name, 0, ok(step))
        (step,) = story.claim(name, 1)
        story.settle(name, 1, ok(step))
    story.left_over()


@scenario("""
    open r: new; publish r/0 to critical
    pause r: publish nothing
    tick none: none; publish r/1 to critical
    lane a: r (held by r)
    claim 1 of r/1 by w: 1 f1 #1 after 0
    settle r:1 f1 ok: yes; publish nothing
    left over: nothing
    """)
def a_run_that_reaches_its_deadline_while_it_is_paused_has_its_body_too(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1), body=("critical", "a")))
    story.pause("r")
    story.bring_due("deadline")
    story.tick()
    story.line("a")
    (step,) = story.claim("r", 1)
    story.settle("r", 1, ok(step))
    story.left_over()
