"""Limits of a step over the whole site: how many of it run at once, and how many start in a time."""

from steps.ledger.records import Beat, SiteLimits
from tests.support.ledger_story import Story, failed, give_back, limited, ok, park, retry, run_of, scenario

FETCH = ["Fetch"] * 10
LANE_HOLD_S = 10.0


@scenario("""
    open r: new; publish r/0 to parallel
    claim 5 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0, 3 f3 #1 after 0
    places of Fetch: r:0 r:1 in line: r:2 r:4
    status of r: running=3, place for 2/0 4/0
    claim 1 of r/0 by v: nothing
    settle r:0 f1 ok and claim 1: yes; publish nothing; next 2 f4 #1 after 0
    places of Fetch: r:1 r:2 in line: r:4
    settle r:3 f3 ok and claim 1: yes; publish nothing; next nothing
    settle r:1 f2 ok and claim 1: yes; publish nothing; next 4 f5 #1 after 0
    settle r:2 f4 ok, r:4 f5 ok: yes, yes; publish nothing
    read r: settled, 0 left; succeeded succeeded succeeded succeeded succeeded
    event of r: run.started
    event of r: step.held 2 #0 - -
    event of r: step.held 4 #0 - -
    event of r: step.started 0 #1 f1 w
    event of r: step.started 1 #1 f2 w
    event of r: step.started 3 #1 f3 w
    event of r: step.completed 0 #1 f1 w succeeded
    event of r: step.started 2 #1 f4 w
    event of r: step.completed 3 #1 f3 w succeeded
    event of r: step.completed 1 #1 f2 w succeeded
    event of r: step.started 4 #1 f5 w
    event of r: step.completed 2 #1 f4 w succeeded
    event of r: step.completed 4 #1 f5 w succeeded
    event of r: run.completed
    left over: nothing
    """)
def no_more_of_a_step_run_than_may(story: Story) -> None:
    story.join("w", "v")
    story.open(run_of("r", ("parallel", "", 5), limits=limited(0, 1, 2, 4, max_running=2), names=FETCH))
    one, two, other = story.claim("r", 0, want=5)
    story.limits()
    story.status("r", "running")
    story.claim("r", 0, worker="v")
    (third,) = story.go_on("r", 0, ok(one))
    story.limits()
    story.go_on("r", 0, ok(other))
    (fourth,) = story.go_on("r", 0, ok(two))
    story.settle("r", 0, ok(third), ok(fourth))
    story.outcomes("r")
    story.events("r")
    story.left_over()


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish q/0 to critical
    open p: new; publish p/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of p/0 by w: nothing
    claim 1 of q/0 by w: nothing
    places of Fetch: r:0 in line: p:0 q:0
    settle r:0 f1 ok and claim 1: yes; publish p/0 to parallel; next nothing
    places of Fetch: p:0 in line: q:0 r:1
    claim 1 of q/0 by w: nothing
    claim 1 of p/0 by w: 0 f2 #1 after 0
    settle p:0 f2 failed: yes; publish q/0 to critical
    places of Fetch: q:0 in line: r:1
    q:0 is ready #0, died 0, failed 0
    claim 1 of q/0 by w: 0 f3 #1 after 0
    settle q:0 f3 ok: yes; publish r/0 to critical
    claim 1 of r/0 by w: 1 f4 #1 after 0
    settle r:1 f4 ok: yes; publish nothing
    left over: nothing
    """)
def a_place_goes_to_the_run_that_has_waited_longest(story: Story) -> None:
    story.join("w")
    limits = limited(0, 1, max_running=1)
    story.open(run_of("r", ("critical", "a", 2), limits=limits))
    story.open(run_of("q", ("critical", "b", 1), limits=limited(0, max_running=1)))
    story.open(run_of("p", ("parallel", "", 1), limits=limited(0, max_running=1)))
    (step,) = story.claim("r", 0)
    story.claim("p", 0)
    story.claim("q", 0)
    story.limits()
    story.go_on("r", 0, ok(step))
    story.limits()
    story.claim("q", 0)
    (step,) = story.claim("p", 0)
    story.settle("p", 0, failed(step))
    story.limits()
    story.states("q")
    (step,) = story.claim("q", 0)
    story.settle("q", 0, ok(step))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    open p: new; publish p/0 to parallel
    open o: new; publish o/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of q/0 by w: nothing
    claim 1 of p/0 by w: nothing
    claim 1 of o/0 by w: nothing
    settle r:0 f1 retry: yes; publish q/0 to parallel
    claim 1 of q/0 by w: 0 f2 #1 after 0
    settle q:0 f2 give back: yes; publish p/0 to parallel, q/0 to parallel
    claim 1 of p/0 by w: 0 f3 #1 after 0
    settle p:0 f3 park: yes; publish o/0 to parallel
    places of Fetch: o:0 in line: nobody
    tick none: none; publish p/0 to parallel, r/0 to parallel
    claim 1 of q/0 by w: nothing
    claim 1 of r/0 by w: nothing
    claim 1 of p/0 by w: nothing
    places of Fetch: o:0 in line: q:0 r:0 p:0
    """)
def a_retry_a_release_and_a_parked_step_free_their_places(story: Story) -> None:
    story.join("w")
    for name in ("r", "q", "p", "o"):
        story.open(run_of(name, ("parallel", "", 1), limits=limited(0, max_running=1)))
    (step,) = story.claim("r", 0)
    for name in ("q", "p", "o"):
        story.claim(name, 0)
    story.settle("r", 0, retry(step))
    (step,) = story.claim("q", 0)
    story.settle("q", 0, give_back(step))
    (step,) = story.claim("p", 0)
    story.settle("p", 0, park(step))
    story.limits()
    story.bring_due("retry")
    story.tick()
    for name in ("q", "r", "p"):
        story.claim(name, 0)
    story.limits()


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to critical
    claim 2 of r/0 by w: 0 f1 #1 after 0
    claim 1 of q/0 by v: nothing
    tick none: none; publish r/0 to parallel
    places of Fetch: r:1 in line: q:0
    claim 2 of r/0 by w: 1 f2 #1 after 0
    places of Fetch: r:1 in line: q:0 r:0
    settle r:1 f2 ok: yes; publish q/0 to critical
    places of Fetch: q:0 in line: r:0
    claim 1 of q/0 by v: 0 f3 #1 after 0
    """)
def what_the_dead_ran_frees_its_places(story: Story) -> None:
    story.join("w", "v")
    limits = limited(0, 1, max_running=1)
    story.open(run_of("r", ("parallel", "", 2), limits=limits))
    story.open(run_of("q", ("critical", "a", 2), limits=limits))
    story.claim("r", 0, want=2)
    story.claim("q", 0, worker="v")
    story.reap("w")
    story.limits()
    story.join("w")
    (step,) = story.claim("r", 0, want=2)
    story.limits()
    story.settle("r", 0, ok(step))
    story.limits()
    story.claim("q", 0, worker="v")


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish q/0 to critical
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of q/0 by w: nothing
    settle r:0 f1 failed: yes; publish nothing
    read r: settled, 0 left; failed
    places of Fetch: r:0 in line: q:0
    vacate r:0 f1: yes; publish q/0 to critical
    places of Fetch: q:0 in line: nobody
    claim 1 of q/0 by w: 0 f2 #1 after 0
    settle q:0 f2 ok: yes; publish nothing
    left over: nothing
    """)
def a_step_that_was_cut_off_in_a_lane_keeps_its_place_until_its_code_has_stopped(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1), limits=limited(0, max_running=1)))
    story.open(run_of("q", ("critical", "b", 1), limits=limited(0, max_running=1)))
    (step,) = story.claim("r", 0)
    story.claim("q", 0)
    story.settle("r", 0, failed(step), vacated=False)
    story.outcomes("r")
    story.limits()
    story.vacate("r", 0, step.fence)
    story.limits()
    (step,) = story.claim("q", 0)
    story.settle("q", 0, ok(step))
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to critical
    claim 3 of r/0 by w: 0 f1 #1 after 0
    claim 1 of q/0 by w: nothing
    cancel r:1: publish nothing
    cancel q:0: publish q/0 to critical
    places of Fetch: r:0 in line: r:2
    claim 1 of q/0 by w: 1 f2 #1 after 0
    settle r:0 f1 ok: yes; publish r/0 to parallel
    cancel r:2: publish nothing
    places of Fetch: free in line: nobody
    read r: settled, 0 left; succeeded cancelled cancelled
    settle q:1 f2 ok: yes; publish nothing
    left over: nothing
    """)
def a_held_step_that_is_cancelled_waits_no_longer(story: Story) -> None:
    story.join("w")
    limits = limited(0, 1, 2, max_running=1)
    story.open(run_of("r", ("parallel", "", 3), limits=limits))
    story.open(run_of("q", ("critical", "a", 2), limits=limited(0, max_running=1), stops_at_failure=False))
    (step,) = story.claim("r", 0, want=3)
    story.claim("q", 0)
    story.cancel_step("r", 1)
    story.cancel_step("q", 0)
    story.limits()
    (other,) = story.claim("q", 0)
    story.settle("r", 0, ok(step))
    story.cancel_step("r", 2)
    story.limits()
    story.outcomes("r")
    story.settle("q", 0, ok(other))
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    open p: new; publish p/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of q/0 by w: nothing
    claim 1 of p/0 by w: nothing
    settle r:0 f1 ok: yes; publish q/0 to parallel
    places of Fetch: q:0 in line: p:0
    cancel q: publish p/0 to parallel
    places of Fetch: p:0 in line: nobody
    claim 1 of p/0 by w: 0 f2 #1 after 0
    cancel p:0: publish nothing
    tick beat w: alive; publish nothing ; stop p:0
    """)
def a_place_kept_for_a_step_that_is_cancelled_goes_to_the_next(story: Story) -> None:
    story.join("w")
    for name in ("r", "q", "p"):
        story.open(run_of(name, ("parallel", "", 1), limits=limited(0, max_running=1)))
    (step,) = story.claim("r", 0)
    story.claim("q", 0)
    story.claim("p", 0)
    story.settle("r", 0, ok(step))
    story.limits()
    story.cancel("q")
    story.limits()
    story.claim("p", 0)
    story.cancel_step("p", 0)
    story.tick(Beat("w", "beat", held=("p:0",)))


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    open p: new; publish p/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of q/0 by w: nothing
    claim 1 of p/0 by w: nothing
    settle r:0 f1 ok: yes; publish q/0 to parallel
    places of Fetch: q:0 in line: p:0
    tick none: none; publish p/0 to parallel
    places of Fetch: p:0 in line: nobody
    claim 1 of q/0 by w: nothing
    places of Fetch: p:0 in line: q:0
    claim 1 of p/0 by w: 0 f2 #1 after 0
    settle p:0 f2 ok: yes; publish q/0 to parallel
    claim 1 of q/0 by w: 0 f3 #1 after 0
    settle q:0 f3 ok: yes; publish nothing
    left over: nothing
    """)
def a_place_that_nobody_takes_up_goes_to_the_next(story: Story) -> None:
    story.join("w")
    for name in ("r", "q", "p"):
        story.open(run_of(name, ("parallel", "", 1), limits=limited(0, max_running=1)))
    (step,) = story.claim("r", 0)
    story.claim("q", 0)
    story.claim("p", 0)
    story.settle("r", 0, ok(step))
    story.limits()
    story.bring_due("limit")
    story.tick()
    story.limits()
    story.claim("q", 0)
    story.limits()
    (step,) = story.claim("p", 0)
    story.bring_due("limit")
    story.settle("p", 0, ok(step))
    (step,) = story.claim("q", 0)
    story.settle("q", 0, ok(step))
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    open p: new; publish p/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of q/0 by w: 1 f2 #1 after 0
    claim 1 of p/0 by w: nothing
    settle r:0 f1 ok: yes; publish q/0 to parallel, p/0 to parallel
    places of Fetch: p:0 in line: nobody
    claim 1 of p/0 by w: 0 f3 #1 after 0
    settle q:1 f2 ok and claim 1: yes; publish nothing; next nothing
    places of Fetch: p:0 in line: q:0
    """)
def a_run_with_no_room_of_its_own_is_kept_no_place(story: Story) -> None:
    story.join("w")
    limits = limited(0, max_running=1)
    story.open(run_of("r", ("parallel", "", 1), limits=limits))
    story.open(run_of("q", ("parallel", "", 2), limits=limits, max_concurrency=1))
    story.open(run_of("p", ("parallel", "", 1), limits=limits))
    (first,) = story.claim("r", 0)
    (other,) = story.claim("q", 0)
    story.claim("p", 0)
    story.settle("r", 0, ok(first))
    story.limits()
    story.claim("p", 0)
    story.go_on("q", 0, ok(other))
    story.limits()


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    open p: new; publish p/0 to critical
    claim 2 of r/0 by w: 0 f1 #1 after 0
    claim 2 of q/0 by w: nothing
    claim 1 of p/0 by w: nothing
    cancel q: publish nothing
    tick none: none; publish nothing
    places of Fetch: r:0 in line: nobody
    read r: open, 1 left; - timed_out
    read q: settled, 0 left; cancelled cancelled
    read p: settled, 0 left; timed_out timed_out
    lane a: empty (held by nobody)
    settle r:0 f1 ok: yes; publish nothing
    left over: stops:w
    """)
def runs_that_are_stopped_give_up_what_they_wait_for(story: Story) -> None:
    story.join("w")
    limits = limited(0, 1, max_running=1)
    story.open(run_of("r", ("parallel", "", 2), limits=limits))
    story.open(run_of("q", ("parallel", "", 2), limits=limits))
    story.open(run_of("p", ("critical", "a", 2), limits=limits))
    (step,) = story.claim("r", 0, want=2)
    story.claim("q", 0, want=2)
    story.claim("p", 0)
    story.cancel("q")
    story.bring_due("deadline")
    story.tick()
    story.limits()
    for name in ("r", "q", "p"):
        story.outcomes(name)
    story.line("a")
    story.settle("r", 0, ok(step))
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    claim 3 of r/0 by w: 0 f1 #1 after 0
    claim 1 of q/0 by w: nothing
    settle r:0 f1 ok: yes; publish r/0 to parallel
    places of Fetch: r:1 in line: r:2 q:0
    cancel r: publish q/0 to parallel
    places of Fetch: q:0 in line: nobody
    read r: settled, 0 left; succeeded cancelled cancelled
    claim 1 of q/0 by w: 0 f2 #1 after 0
    """)
def a_place_is_not_kept_for_a_run_that_is_being_stopped(story: Story) -> None:
    story.join("w")
    limits = limited(0, 1, 2, max_running=1)
    story.open(run_of("r", ("parallel", "", 3), limits=limits))
    story.open(run_of("q", ("parallel", "", 1), limits=limits))
    (step,) = story.claim("r", 0, want=3)
    story.claim("q", 0)
    story.settle("r", 0, ok(step))
    story.limits()
    story.cancel("r")
    story.limits()
    story.outcomes("r")
    story.claim("q", 0)


@scenario(
    """
    open o: new; publish o/0 to parallel
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    open p: new; publish nothing
    claim 1 of o/0 by w: 0 f1 #1 after 0
    claim 1 of r/0 by w: nothing
    claim 1 of q/0 by w: nothing
    lane a: r q p (held by r)
    tick none: none; publish q/0 to critical
    lane a: q p (held by q)
    status of r: away=1, place for 0/0
    claim 1 of q/0 by w: 0 f2 #1 after 0
    settle o:0 f1 ok: yes; publish nothing
    lane a: q p r (held by q)
    places of Fetch: free in line: nobody
    settle q:0 f2 ok: yes; publish p/0 to critical
    claim 1 of p/0 by w: 0 f3 #1 after 0
    settle p:0 f3 ok: yes; publish r/0 to critical
    lane a: r (held by r)
    claim 1 of r/0 by w: 0 f4 #1 after 0
    settle r:0 f4 ok and claim 1: yes; publish nothing; next 1 f5 #1 after 0
    settle r:1 f5 ok: yes; publish nothing
    read r: settled, 0 left; succeeded succeeded
    left over: nothing
    """,
    lane_hold_s=LANE_HOLD_S,
)
def a_long_wait_for_a_place_steps_out_of_the_lane_and_comes_back(story: Story) -> None:
    story.join("w")
    limits = limited(0, max_running=1)
    story.open(run_of("o", ("parallel", "", 1), limits=limits))
    story.open(run_of("r", ("critical", "a", 2), limits=limits))
    story.open(run_of("q", ("critical", "a", 1)))
    story.open(run_of("p", ("critical", "a", 1), limits=limits))
    (first,) = story.claim("o", 0)
    story.claim("r", 0)
    story.claim("q", 0)
    story.line("a")
    story.bring_due("stepout")
    story.tick()
    story.line("a")
    story.status("r", "away")
    (step,) = story.claim("q", 0)
    story.settle("o", 0, ok(first))
    story.line("a")
    story.limits()
    story.settle("q", 0, ok(step))
    (step,) = story.claim("p", 0)
    story.settle("p", 0, ok(step))
    story.line("a")
    (step,) = story.claim("r", 0)
    (step,) = story.go_on("r", 0, ok(step))
    story.settle("r", 0, ok(step))
    story.outcomes("r")
    story.left_over()


@scenario(
    """
    open o: new; publish o/0 to parallel
    open r: new; publish r/0 to critical
    claim 1 of o/0 by w: 0 f1 #1 after 0
    claim 1 of r/0 by w: nothing
    settle o:0 f1 ok: yes; publish r/0 to critical
    claim 1 of r/0 by w: 0 f2 #1 after 0
    settle r:0 f2 retry: yes; publish nothing
    tick none: none; publish nothing
    lane a: r (held by r)
    """,
    lane_hold_s=LANE_HOLD_S,
)
def a_place_that_comes_in_time_leaves_no_step_out_behind(story: Story) -> None:
    story.join("w")
    limits = limited(0, max_running=1)
    story.open(run_of("o", ("parallel", "", 1), limits=limits))
    story.open(run_of("r", ("critical", "a", 1), limits=limits))
    (first,) = story.claim("o", 0)
    story.claim("r", 0)
    story.settle("o", 0, ok(first))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, retry(step, 1))
    story.bring_due("stepout")
    story.tick()
    story.line("a")


@scenario("""
    open r: new; publish r/0 to parallel
    claim 5 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0
    places of Fetch: free in line: r:2 r:3 r:4 r:5 r:6
    status of r: start for 2/0 3/0 4/0 5/0 6/0
    claim 5 of r/0 by v: nothing
    places of Fetch: free in line: r:2 r:3 r:4 r:5 r:6
    settle r:0 f1 ok, r:1 f2 ok: yes, yes; publish nothing
    tick none: none; publish nothing
    places of Fetch: free in line: r:2 r:3 r:4 r:5 r:6
    tick none: none; publish r/0 to parallel
    places of Fetch: free in line: r:4 r:5 r:6
    claim 5 of r/0 by w: 2 f3 #1 after 0, 3 f4 #1 after 0
    settle r:2 f3 ok, r:3 f4 ok: yes, yes; publish nothing
    tick none: none; publish r/0 to parallel
    claim 1 of r/0 by w: 4 f5 #1 after 0; more
    tick none: none; publish r/0 to parallel
    claim 1 of r/0 by w: 5 f6 #1 after 0; more
    tick none: none; publish nothing
    claim 3 of r/0 by w: 6 f7 #1 after 0
    places of Fetch: free in line: nobody
    starts kept: 2
    for as long as they count: True
    cancel r: publish nothing
    tick leave w: left; publish nothing
    left over: starts:Fetch
    """)
def only_so_many_start_in_a_time(story: Story) -> None:
    story.join("w", "v")
    limits = limited(*range(7), starts=2, within_s=60)
    story.open(run_of("r", ("parallel", "", 7), limits=limits))
    one, two = story.claim("r", 0, want=5)
    story.limits()
    story.status("r")
    story.claim("r", 0, want=5, worker="v")
    story.limits()
    story.settle("r", 0, ok(one), ok(two))
    story.time_passes(59)
    story.limits()
    story.time_passes(1)
    story.limits()
    three, four = story.claim("r", 0, want=5)
    story.settle("r", 0, ok(three), ok(four))
    story.time_passes(60)
    story.claim("r", 0, want=1)
    story.time_passes(30)
    story.claim("r", 0, want=1)
    story.time_passes(30)
    story.claim("r", 0, want=3)
    story.limits()
    story.tell("starts kept:", story.client.llen(f"{story.root}starts:Fetch"))
    ttl = story.client.pttl(f"{story.root}starts:Fetch")
    story.tell("for as long as they count:", 50_000 < ttl <= 60_000)
    story.cancel("r")
    story.tick(Beat("w", "leave"))
    story.left_over()


@scenario("""
    open r: new; publish r/0 to critical
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 retry: yes; publish nothing
    tick none: none; publish r/0 to critical
    claim 1 of r/0 by w: nothing
    status of r: start for 0/1
    tick none: none; publish r/0 to critical
    claim 1 of r/0 by w: 0 f2 #2 after 1
    settle r:0 f2 ok and claim 1: yes; publish nothing; next nothing
    tick none: none; publish r/0 to critical
    claim 1 of r/0 by w: 1 f3 #1 after 0
    """)
def each_attempt_is_a_start(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 2), limits=limited(0, 1, starts=1, within_s=60)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, retry(step))
    story.bring_due("retry")
    story.tick()
    story.claim("r", 0)
    story.status("r", "hold", "offered")
    story.time_passes(60)
    (step,) = story.claim("r", 0)
    story.go_on("r", 0, ok(step))
    story.time_passes(60)
    story.claim("r", 0)


@scenario("""
    open r: new; publish r/0 to parallel
    claim 6 of r/0 by w: 0 f1 #1 after 0
    tick none: none; publish r/0 to parallel
    tick none: none; publish r/0 to parallel
    tick none: none; publish r/0 to parallel
    places of Fetch: free in line: r:4 r:5
    claim 6 of r/0 by w: 1 f2 #1 after 0
    places of Fetch: free in line: r:2 r:3 r:4 r:5
    """)
def steps_that_could_not_start_in_their_time_do_not_start_all_at_once_later(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 6), limits=limited(*range(6), starts=1, within_s=60)))
    story.claim("r", 0, want=6)
    for _ in range(3):  # nobody claims what is let in
        story.time_passes(60)
    story.limits()
    story.claim("r", 0, want=6)
    story.limits()


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    open p: new; publish p/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of q/0 by w: nothing
    claim 1 of p/0 by w: nothing
    places of Fetch: free in line: q:0 p:0
    tick none: none; publish q/0 to parallel
    claim 1 of q/0 by w: 0 f2 #1 after 0
    places of Fetch: free in line: p:0
    """)
def nobody_overtakes_those_in_line_for_a_start(story: Story) -> None:
    story.join("w")
    limits = limited(0, starts=1, within_s=60)
    for name in ("r", "q", "p"):
        story.open(run_of(name, ("parallel", "", 1), limits=limits))
    story.claim("r", 0)
    story.claim("q", 0)
    story.client.lset(f"{story.root}starts:Fetch", 0, 1)
    story.claim("p", 0)
    story.limits()
    story.time_passes(0)
    story.claim("q", 0)
    story.limits()


@scenario("""
    open r: new; publish r/0 to parallel
    claim 5 of r/0 by w: 0 f1 #1 after 0
    places of Fetch: r:0 in line: r:1 r:2 r:3 r:4
    status of r: place for 1/0 2/0 3/0 4/0
    settle r:0 f1 ok and claim 5: yes; publish nothing; next 1 f2 #1 after 0
    settle r:1 f2 ok and claim 5: yes; publish nothing; next nothing
    places of Fetch: free in line: r:2 r:3 r:4
    status of r: start for 2/0 3/0 4/0
    tick none: none; publish r/0 to parallel
    places of Fetch: r:2 in line: r:3 r:4
    claim 5 of r/0 by w: 2 f3 #1 after 0
    settle r:2 f3 ok and claim 5: yes; publish nothing; next 3 f4 #1 after 0
    tick none: none; publish nothing
    places of Fetch: r:3 in line: r:4
    settle r:3 f4 ok: yes; publish r/0 to parallel
    claim 5 of r/0 by w: 4 f5 #1 after 0
    settle r:4 f5 ok: yes; publish nothing
    left over: starts:Fetch
    """)
def both_limits_hold_together(story: Story) -> None:
    story.join("w")
    limits = limited(*range(5), max_running=1, starts=2, within_s=60)
    story.open(run_of("r", ("parallel", "", 5), limits=limits))
    (step,) = story.claim("r", 0, want=5)
    story.limits()
    story.status("r")
    (step,) = story.go_on("r", 0, ok(step), want=5)
    story.go_on("r", 0, ok(step), want=5)
    story.limits()
    story.status("r")
    story.time_passes(60)
    story.limits()
    (step,) = story.claim("r", 0, want=5)
    (step,) = story.go_on("r", 0, ok(step), want=5)
    story.time_passes(60)
    story.limits()
    story.settle("r", 0, ok(step))
    (step,) = story.claim("r", 0, want=5)
    story.settle("r", 0, ok(step))
    story.left_over()


@scenario("""
    open o: new; publish o/0 to parallel
    open r: new; publish r/0 to parallel
    claim 1 of o/0 by w: 0 f1 #1 after 0
    claim 1 of r/0 by w: nothing
    settle o:0 f1 ok: yes; publish r/0 to parallel
    places of Fetch: r:0 in line: nobody
    open q: new; publish q/0 to parallel
    claim 1 of q/0 by w: 0 f2 #1 after 0
    claim 1 of r/0 by w: nothing
    places of Fetch: free in line: r:0
    tick none: none; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f3 #1 after 0
    places of Fetch: r:0 in line: nobody
    """)
def a_place_kept_for_one_whose_start_is_not_due_is_given_up(story: Story) -> None:
    """Another step of that name has a rate, and starts first."""
    story.join("w")
    both = {0: SiteLimits("Fetch", 1, 1, 60.0)}
    story.open(run_of("o", ("parallel", "", 1), limits=limited(0, max_running=1)))
    story.open(run_of("r", ("parallel", "", 1), limits=both))
    (first,) = story.claim("o", 0)
    story.claim("r", 0)
    story.settle("o", 0, ok(first))
    story.limits()
    story.open(run_of("q", ("parallel", "", 1), limits=limited(0, starts=1, within_s=60)))
    story.claim("q", 0)
    story.claim("r", 0)
    story.limits()
    story.time_passes(60)
    story.claim("r", 0)
    story.limits()


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of q/0 by w: nothing
    held: 500
    tick none: none; publish q/0 to parallel
    claim 1 of q/0 by w: 600 f2 #1 after 0
    held: 600
    cancel q: publish nothing
    settle r:0 f1 ok: yes; publish nothing
    places of Fetch: free in line: nobody
    """)
def more_held_steps_than_one_call_may_touch_do_not_hide_those_behind(story: Story) -> None:
    story.join("w", "v")
    held = 600
    limits = limited(*range(held), max_running=1)
    story.open(run_of("r", ("parallel", "", 1), limits=limits))
    story.open(run_of("q", ("parallel", "", held + 1), limits=limits))
    (first,) = story.claim("r", 0)
    story.claim("q", 0)
    story.tell("held:", story.client.zcard(f"{story.root}held:Fetch"))
    story.tick()
    story.claim("q", 0)
    story.tell("held:", story.client.zcard(f"{story.root}held:Fetch"))
    story.cancel("q")
    story.settle("r", 0, ok(first))
    story.limits()


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    open p: new; publish p/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of q/0 by w: nothing
    claim 1 of p/0 by w: nothing
    settle r:0 f1 ok: yes; publish p/0 to parallel
    places of Fetch: p:0 in line: nobody
    """)
def a_place_is_found_for_a_run_behind_those_that_are_gone(story: Story) -> None:
    story.join("w")
    for name in ("r", "q", "p"):
        story.open(run_of(name, ("parallel", "", 1), limits=limited(0, max_running=1)))
    (step,) = story.claim("r", 0)
    story.claim("q", 0)
    story.claim("p", 0)
    story.client.delete(f"{story.root}run:q")
    story.settle("r", 0, ok(step))
    story.limits()


@scenario("""
    open r: new; publish r/0 to parallel
    claim 2 of r/0 by w: 0 f1 #1 after 0
    places of a|b:c "ü" %d: r:0 in line: r:1
    settle r:0 f1 ok and claim 1: yes; publish nothing; next 1 f2 #1 after 0
    open q: new; publish q/0 to parallel
    claim 1 of q/0 by w: nothing
    places of a|b:c "ü" %d: r:1 in line: q:0
    cancel q: publish nothing
    places of a|b:c "ü" %d: r:1 in line: nobody
    """)
def the_name_of_a_step_with_limits_may_be_any(story: Story) -> None:
    story.join("w")
    name = 'a|b:c "ü" %d'
    limits = limited(0, 1, name=name, max_running=1, starts=2, within_s=60)
    story.open(run_of("r", ("parallel", "", 2), limits=limits))
    (step,) = story.claim("r", 0, want=2)
    story.limits(name)
    story.go_on("r", 0, ok(step))
    story.open(run_of("q", ("parallel", "", 1), limits=limits))
    story.claim("q", 0)
    story.limits(name)
    story.cancel("q")
    story.limits(name)


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish r/1 to critical
    claim 1 of q/0 by w: 0 f2 #1 after 0
    settle q:0 f2 ok: yes; publish q/1 to parallel
    claim 1 of r/1 by w: 1 f3 #1 after 0
    claim 1 of q/1 by w: nothing
    places of Fetch: r:1 in line: q:1
    settle r:1 f3 ok: yes; publish q/1 to parallel
    claim 1 of q/1 by w: 1 f4 #1 after 0
    settle q:1 f4 ok: yes; publish nothing
    left over: nothing
    """)
def a_completion_body_has_limits_too(story: Story) -> None:
    story.join("w")
    limits = limited(1, max_running=1)
    story.open(run_of("r", ("parallel", "", 1), body=("critical", "a"), limits=limits))
    story.open(run_of("q", ("parallel", "", 1), body=("parallel", ""), limits=limits))
    for name in ("r", "q"):
        (step,) = story.claim(name, 0)
        story.settle(name, 0, ok(step))
    (step,) = story.claim("r", 1)
    story.claim("q", 1)
    story.limits()
    story.settle("r", 1, ok(step))
    (step,) = story.claim("q", 1)
    story.settle("q", 1, ok(step))
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    open p: new; publish p/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of q/0 by w: nothing
    claim 1 of p/0 by w: nothing
    pause q: publish nothing
    settle r:0 f1 ok: yes; publish p/0 to parallel
    places of Fetch: p:0 in line: nobody
    claim 1 of p/0 by w: 0 f2 #1 after 0
    resume q: publish q/0 to parallel
    claim 1 of q/0 by w: nothing
    settle p:0 f2 ok: yes; publish q/0 to parallel
    claim 1 of q/0 by w: 0 f3 #1 after 0
    settle q:0 f3 ok: yes; publish nothing
    left over: nothing
    """)
def a_paused_run_is_kept_no_place(story: Story) -> None:
    story.join("w")
    for name in ("r", "q", "p"):
        story.open(run_of(name, ("parallel", "", 1), limits=limited(0, max_running=1)))
    (step,) = story.claim("r", 0)
    story.claim("q", 0)
    story.claim("p", 0)
    story.pause("q")
    story.settle("r", 0, ok(step))
    story.limits()
    (step,) = story.claim("p", 0)
    story.resume("q")
    story.claim("q", 0)
    story.settle("p", 0, ok(step))
    (step,) = story.claim("q", 0)
    story.settle("q", 0, ok(step))
    story.left_over()


@scenario(
    """
    open o: new; publish o/0 to parallel
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    claim 1 of o/0 by w: 0 f1 #1 after 0
    claim 1 of r/0 by w: nothing
    lane a: r q (held by r)
    pause r: publish q/0 to critical
    tick none: none; publish nothing
    resume r: publish nothing
    lane a: q (held by q)
    claim 1 of q/0 by w: 0 f2 #1 after 0
    settle q:0 f2 ok: yes; publish nothing
    lane a: empty (held by nobody)
    settle o:0 f1 ok: yes; publish r/0 to critical
    lane a: r (held by r)
    claim 1 of r/0 by w: 0 f3 #1 after 0
    settle r:0 f3 ok: yes; publish nothing
    left over: nothing
    """,
    lane_hold_s=LANE_HOLD_S,
)
def a_run_that_waits_for_a_place_comes_back_with_it_when_it_was_paused_meanwhile(story: Story) -> None:
    story.join("w")
    limits = limited(0, max_running=1)
    story.open(run_of("o", ("parallel", "", 1), limits=limits))
    story.open(run_of("r", ("critical", "a", 1), limits=limits))
    story.open(run_of("q", ("critical", "a", 1)))
    (first,) = story.claim("o", 0)
    story.claim("r", 0)
    story.line("a")
    story.pause("r")
    story.bring_due("stepout")
    story.tick()
    story.resume("r")
    story.line("a")
    (step,) = story.claim("q", 0)
    story.settle("q", 0, ok(step))
    story.line("a")
    story.settle("o", 0, ok(first))
    story.line("a")
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.left_over()
