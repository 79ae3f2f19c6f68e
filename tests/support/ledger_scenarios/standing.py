"""How a run stands to others: its idempotency key, the place it takes, and how long it is wanted."""

from dataclasses import replace

from tests.support.ledger_story import Story, ok, run_of, scenario


@scenario("""
    open r: new; publish r/0 to parallel
    open q: it is r; publish nothing
    open q: KeyConflict ('order 7', 'r')
    pending: {'parallel': 1}
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing
    open q: it is r; publish nothing
    purge: 1 forgotten
    open q: new; publish q/0 to parallel
    """)
def submitting_again_under_a_key_returns_the_run_that_is_there(story: Story) -> None:
    story.join("w", queue="parallel")
    first = replace(run_of("r", ("parallel", "", 1)), key="order 7", digest="d")
    story.open(first)
    story.open(replace(first, run_id="q"))
    story.open(replace(first, run_id="q", digest="other"))
    story.pending()
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.open(replace(first, run_id="q"))
    story.purge()
    story.open(replace(first, run_id="q"))


@scenario("""
    open r: new; publish r/0 to parallel
    kept without end: True
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing
    kept for the results: True
    """)
def a_key_is_kept_as_long_as_the_results_of_its_run(story: Story) -> None:
    story.join("w", queue="parallel")
    story.open(replace(run_of("r", ("parallel", "", 1)), key="k", digest="d"))
    story.tell("kept without end:", story.client.ttl(f"{story.root}key:k") == -1)
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.tell(
        "kept for the results:", 0 < story.client.ttl(f"{story.root}key:k") <= story.client.ttl(f"{story.root}run:r")
    )


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    read r: settled, 0 left; cancelled cancelled
    outcome r:0: cancelled, 0 attempts; Superseded
    run q took its place
    claim 2 of q/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0
    settle q:0 f1 ok, q:1 f2 ok: yes, yes; publish nothing
    open p: new; publish p/0 to parallel
    read q: settled, 0 left; succeeded succeeded
    cancel p: publish nothing
    left over: nothing
    """)
def the_latest_run_takes_the_place_of_the_one_before(story: Story) -> None:
    story.join("w", queue="parallel")
    for name in ("r", "q"):
        story.open(replace(run_of(name, ("parallel", "", 2)), supersedes="view:42"))
    story.outcomes("r")
    story.outcome("r", 0)
    steps = story.claim("q", 0, 2)
    story.settle("q", 0, *[ok(step) for step in steps])
    story.open(replace(run_of("p", ("parallel", "", 2)), supersedes="view:42"))
    story.outcomes("q")
    story.cancel("p")
    story.left_over()


@scenario(
    """
    open r: new; publish r/0 to parallel
    open q: QueueFull ('parallel', 2, 3)
    open p: QueueFull ('parallel', 0, 3)
    read r: open, 2 left; - -
    open p: new; publish p/0 to parallel
    read r: settled, 0 left; cancelled cancelled
    pending: {'parallel': 3}
    """,
    queue_limit=3,
)
def a_run_that_takes_a_place_takes_the_room_too(story: Story) -> None:
    story.open(replace(run_of("r", ("parallel", "", 2)), supersedes="v"))
    story.open(run_of("q", ("parallel", "", 2)))
    story.open(replace(run_of("p", ("parallel", "", 4)), supersedes="v"))
    story.outcomes("r")
    story.open(replace(run_of("p", ("parallel", "", 3)), supersedes="v"))
    story.outcomes("r")
    story.pending()


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    open p: new; publish q/0 to critical
    lane a: q p (held by q)
    """)
def the_lane_of_a_run_that_lost_its_place_goes_to_the_next_in_line(story: Story) -> None:
    story.join("w")
    story.open(replace(run_of("r", ("critical", "a", 2)), supersedes="v"))
    story.open(run_of("q", ("critical", "a", 1)))
    story.open(replace(run_of("p", ("critical", "a", 1)), supersedes="v"))
    story.line("a")


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    claim 1 of q/0 by w: 0 f1 #1 after 0; more
    tick none: none; publish nothing
    read r: settled, 0 left; timed_out timed_out
    outcome r:0: timed_out, 0 attempts; QueueTimeout
    no step of the run had started after 5000 ms
    read q: open, 2 left; - -
    """)
def a_run_of_which_nothing_has_started_in_time_is_not_wanted_any_more(story: Story) -> None:
    story.join("w", queue="parallel")
    for name in ("r", "q"):
        story.open(replace(run_of(name, ("parallel", "", 2)), queue_timeout_s=5))
    story.claim("q", 0)
    story.bring_due("queued")
    story.tick()
    story.outcomes("r")
    story.outcome("r", 0)
    story.outcomes("q")


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish nothing
    tick none: none; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing; more of q
    tick none: none; publish nothing
    outcome q:0: timed_out, 0 attempts; QueueTimeout
    no step of the run had started after 5000 ms
    """)
def the_time_to_start_counts_from_the_end_of_the_run_before(story: Story) -> None:
    story.join("w", queue="parallel")
    story.open(run_of("r", ("parallel", "", 1)))
    story.open(replace(run_of("q", ("parallel", "", 1)), after=("r",), queue_timeout_s=5))
    story.bring_due("queued")
    story.tick()
    (step,) = story.claim("r", 0)
    story.ledger.finish(story.settle("r", 0, ok(step)).unfinished)
    story.bring_due("queued")
    story.tick()
    story.outcome("q", 0)


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    claim 1 of q/0 by w: 0 f1 #1 after 0
    settle q:0 f1 ok: yes; publish nothing
    left over: nothing
    """)
def a_run_that_takes_the_place_of_the_one_it_waits_for_begins_at_once(story: Story) -> None:
    story.join("w", queue="parallel")
    story.open(replace(run_of("r", ("parallel", "", 1)), supersedes="v"))
    story.open(replace(run_of("q", ("parallel", "", 1)), supersedes="v", after=("r",)))
    (step,) = story.claim("q", 0)
    story.settle("q", 0, ok(step))
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0; more
    watch: {'r': 'open'}
    status of r: stop=timed_out|DeadlineExceeded|the run reached its deadline before this step settled
    """)
def a_run_that_has_started_in_time_still_reaches_its_deadline_where_no_worker_lives(story: Story) -> None:
    story.join("w", queue="parallel")
    story.open(replace(run_of("r", ("parallel", "", 2)), queue_timeout_s=5))
    story.claim("r", 0)
    story.client.hset(f"{story.root}run:r", mapping={"began": 1_000_000, "deadline": 2_000_000})
    story.watch("r")
    story.status("r", "stop")
