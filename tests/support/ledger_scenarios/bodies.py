"""Completion bodies: at least once, after everything else, and in their lane's order."""

from tests.support.ledger_story import Story, failed, ok, retry, run_of, scenario

PARALLEL_BODY = ("parallel", "")


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/1 by w: nothing
    claim 2 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0
    settle r:0 f1 ok: yes; publish nothing
    settle r:1 f2 failed: yes; publish r/1 to parallel
    notice to me: r; succeeded failed
    read r: settled, 0 left; succeeded failed
    expires: -1
    claim 1 of r/1 by w: 2 f3 #1 after 0
    settle r:2 f3 ok and claim 1: yes; publish nothing; next nothing
    r expires: {'run': True, 'events': True}
    outcome r:2: succeeded, 0 attempts; no error
    no message
    event of r: run.started
    event of r: step.started 0 #1 f1 w
    event of r: step.started 1 #1 f2 w
    event of r: step.completed 0 #1 f1 w succeeded
    event of r: step.failed 1 #1 f2 w failed
    event of r: run.completed
    event of r: step.started 2 #1 f3 w
    event of r: step.completed 2 #1 f3 w succeeded
    pending: {'parallel': 0}
    left over: nothing
    """)
def a_parallel_body_runs_after_all_the_others(story: Story) -> None:
    story.join("w", queue="parallel")
    story.open(run_of("r", ("parallel", "", 2), body=PARALLEL_BODY), inbox="me")
    story.claim("r", 1)
    one, two = story.claim("r", 0, want=2)
    story.settle("r", 0, ok(one))
    story.settle("r", 0, failed(two))
    story.notices("me")
    story.outcomes("r")
    story.tell("expires:", story.client.ttl(f"{story.root}run:r"))
    (body,) = story.claim("r", 1)
    story.go_on("r", 1, ok(body))
    story.expiry("r")
    story.outcome("r", 2)
    story.events("r")
    story.pending()
    story.left_over()


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok and claim 1: yes; publish q/0 to critical; next nothing
    lane a: q r (held by q)
    claim 1 of r/1 by w: nothing
    claim 1 of q/0 by w: 0 f2 #1 after 0
    settle q:0 f2 ok: yes; publish r/1 to critical
    has no deadline: None
    settle r:1 f3 ok and claim 1: yes; publish nothing; next nothing
    r expires: {'run': True, 'events': True}
    left over: nothing
    """)
def a_critical_body_takes_its_place_in_line(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1), body=("critical", "a")))
    story.open(run_of("q", ("critical", "a", 1)))
    (step,) = story.claim("r", 0)
    story.go_on("r", 0, ok(step))
    story.line("a")
    story.claim("r", 1)
    (step,) = story.claim("q", 0)
    story.settle("q", 0, ok(step))
    claimed = story.ledger.claim("r", 1, worker="w", want=1, with_meta=False)
    assert claimed is not None
    story.tell("has no deadline:", claimed.remaining_s)
    story.go_on("r", 1, ok(claimed.steps[0]))
    story.expiry("r")
    story.left_over()


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing
    notice to me: r; succeeded
    lane a: r q (held by r)
    claim 1 of r/1 by w: nothing
    vacate r:0 f1: yes; publish q/0 to critical
    lane a: q r (held by q)
    claim 1 of q/0 by w: 0 f2 #1 after 0
    settle q:0 f2 ok: yes; publish r/1 to critical
    claim 1 of r/1 by w: 1 f3 #1 after 0
    settle r:1 f3 ok: yes; publish nothing
    r expires: {'run': True, 'events': True}
    vacate r:1 f3: yes; publish nothing
    left over: nothing
    """)
def a_critical_body_waits_until_the_last_step_has_vacated(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1), body=("critical", "a")), inbox="me")
    story.open(run_of("q", ("critical", "a", 1)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step), vacated=False)
    story.notices("me")
    story.line("a")
    story.claim("r", 1)
    story.vacate("r", 0, step.fence)
    story.line("a")
    (step,) = story.claim("q", 0)
    story.settle("q", 0, ok(step))
    (body,) = story.claim("r", 1)
    story.settle("r", 1, ok(body), vacated=False)
    story.expiry("r")
    story.vacate("r", 1, body.fence)
    story.left_over()


@scenario("""
    open late: new; publish late/0 to critical
    open cancelled: new; publish nothing
    cancel cancelled: publish nothing
    tick none: none; publish late/2 to critical
    read late: settled, 0 left; timed_out timed_out timed_out
    claim 1 of late/1 by w: nothing
    claim 1 of cancelled/2 by w: nothing
    outcome cancelled:3: cancelled, 0 attempts; RunCancelled
    the run was cancelled before its completion body began
    claim 1 of late/2 by w: 3 f1 #1 after 0
    settle late:3 f1 ok: yes; publish nothing
    late expires: {'run': True, 'events': True}
    cancelled expires: {'run': True, 'events': True}
    left over: nothing
    """)
def a_body_follows_a_deadline_but_not_a_cancel(story: Story) -> None:
    story.join("w")
    for name in ("late", "cancelled"):
        story.open(run_of(name, ("critical", "a", 2), ("parallel", "", 1), body=("critical", "b")))
    story.cancel("cancelled")
    story.bring_due("deadline")
    story.tick()
    story.outcomes("late")
    story.claim("late", 1)
    story.claim("cancelled", 2)
    story.outcome("cancelled", 3)
    (body,) = story.claim("late", 2)
    story.settle("late", 2, ok(body))
    story.expiry("late")
    story.expiry("cancelled")
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 retry and claim 1: yes; publish nothing; next nothing
    tick none: none; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f2 #2 after 1
    settle r:0 f2 failed and claim 1: yes; publish nothing; next nothing
    cancel r: publish nothing
    outcome r:0: failed, 0 attempts; ValueError
    no
    left over: nothing
    """)
def a_body_is_tried_again_and_may_fail(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", body=PARALLEL_BODY))
    (body,) = story.claim("r", 0)
    story.go_on("r", 0, retry(body))
    story.bring_due("retry")
    story.tick()
    (body,) = story.claim("r", 0)
    story.go_on("r", 0, failed(body))
    story.cancel("r")
    story.outcome("r", 0)
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish r/1 to critical
    claim 1 of r/1 by w: 1 f2 #1 after 0
    tick none: none; publish r/1 to critical
    claim 1 of r/1 by w: 1 f3 #2 after 0
    tick none: none; publish r/1 to critical
    claim 1 of r/1 by w: 1 f4 #3 after 0
    tick none: none; publish nothing
    outcome r:1: lost, 3 attempts; WorkerLost
    the process it ran in died 3 times
    r expires: {'run': True, 'events': True}
    left over: nothing
    """)
def a_body_whose_worker_dies_runs_again_and_is_lost_at_last(story: Story) -> None:
    story.open(run_of("r", ("parallel", "", 1), body=("critical", "a")))
    story.join("w")
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    for _ in range(3):
        story.join("w")
        story.claim("r", 1)
        story.reap("w")
    story.outcome("r", 1)
    story.expiry("r")
    story.left_over()
