"""Runs that wait for others to settle before they begin."""

from steps.ledger.records import Beat
from tests.support.ledger_story import Story, failed, ok, run_of, scenario

MOST_FOLLOWERS = 500


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    open p: new; publish nothing
    lane a: r p (held by r)
    claim 1 of q/0 by w: nothing
    claim 1 of q/1 by w: nothing
    status of q: state=open, after=r, waits=1
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 failed: yes; publish p/0 to critical; more of q
    begun: [('q', 1)]
    lane a: p q (held by p)
    event of q: run.waiting
    event of q: run.started
    claim 1 of q/1 by w: 1 f2 #1 after 0
    settle q:1 f2 ok: yes; publish nothing
    """)
def a_run_begins_when_the_one_before_it_has_settled(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1)))
    story.open(run_of("q", ("critical", "a", 1), ("parallel", "", 1), critical_first=False, after=("r",)))
    story.open(run_of("p", ("critical", "a", 1)))
    story.line("a")
    story.claim("q", 0)
    story.claim("q", 1)
    story.status("q", "state", "after", "waits", "began")
    (step,) = story.claim("r", 0)
    settled = story.settle("r", 0, failed(step))
    story.tell("begun:", [(one.run_id, one.parcel) for one in story.ledger.finish(settled.unfinished)])
    story.line("a")
    story.events("q")
    (step,) = story.claim("q", 1)
    story.settle("q", 1, ok(step))


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    open p: new; publish p/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing
    open o: new; publish nothing
    status of o: waits=3
    claim 1 of q/0 by w: 0 f2 #1 after 0
    settle q:0 f2 ok: yes; publish nothing
    status of o: waits=1
    claim 1 of o/0 by w: nothing
    claim 1 of p/0 by w: 0 f3 #1 after 0
    settle p:0 f3 ok: yes; publish nothing; more of o
    tick none: none; publish o/0 to parallel
    open n: new; publish n/0 to parallel
    """)
def a_run_waits_for_many_and_not_for_those_that_have_settled(story: Story) -> None:
    story.join("w")
    for name in ("r", "q", "p"):
        story.open(run_of(name, ("parallel", "", 1)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.open(run_of("o", ("parallel", "", 1), after=("r", "q", "p", "q")))
    story.status("o", "waits")
    (step,) = story.claim("q", 0)
    story.settle("q", 0, ok(step))
    story.status("o", "waits")
    story.claim("o", 0)
    (step,) = story.claim("p", 0)
    settled = story.settle("p", 0, ok(step))
    story.tick(Beat(runs=settled.unfinished))
    story.open(run_of("n", ("parallel", "", 1), after=("r", "q")))


@scenario("""
    open r: new; publish r/0 to parallel
    open q: RunUnknown ('never',)
    open q: RunUnknown ('q',)
    new keys: []
    followers of r: None
    pending: {'parallel': 1}
    """)
def a_run_after_one_that_is_not_there_is_refused_whole(story: Story) -> None:
    story.open(run_of("r", ("parallel", "", 1)))
    before = set(story.client.keys("*"))
    story.open(run_of("q", ("critical", "a", 1), after=("r", "never")))
    story.open(run_of("q", ("critical", "a", 1), after=("q",)))
    story.tell("new keys:", sorted(set(story.client.keys("*")) - before))
    story.tell("followers of r:", story.client.hget(f"{story.root}run:r", "next"))
    story.pending()


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    open p: new; publish nothing
    cancel r: publish q/0 to critical
    status of p: waits=1
    tick none: none; publish nothing ; more of p
    tick none: none; publish p/0 to critical
    claim 1 of p/0 by w: 0 f1 #1 after 0
    """)
def a_run_begins_however_those_before_it_ended(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1)))
    story.open(run_of("q", ("critical", "a", 1)))
    story.open(run_of("p", ("critical", "a", 1), after=("r", "q")))
    story.cancel("r")
    story.status("p", "waits")
    story.bring_due("deadline")
    ticked = story.tick()
    story.tick(Beat(runs=ticked.unfinished))
    story.claim("p", 0)


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing; more of q
    claim 1 of q/0 by w: nothing
    watch: {'q': 'open'}
    tick none: none; publish q/0 to parallel
    tick none: none; publish nothing
    claim 1 of q/0 by w: 0 f2 #1 after 0
    """)
def a_keeper_lets_a_run_begin_where_nobody_else_does(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1)))
    story.open(run_of("q", ("parallel", "", 1), after=("r",)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.claim("q", 0)
    story.watch("q", inbox="me")
    story.tick()
    story.tick()
    story.claim("q", 0)


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    open p: new; publish nothing
    cancel q: publish nothing
    cancel p: publish nothing
    read q: settled, 0 left; cancelled cancelled
    notice to me: q; cancelled cancelled
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing
    event of q: run.waiting
    event of q: step.cancelled 0 #0 - - cancelled
    event of q: step.cancelled 1 #0 - - cancelled
    event of q: run.completed
    read p: settled, 0 left;
    left over: nothing
    """)
def a_waiting_run_may_be_cancelled(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1)))
    story.open(run_of("q", ("critical", "a", 1), ("parallel", "", 1), body=("parallel", ""), after=("r",)), inbox="me")
    story.open(run_of("p", after=("r",)))
    story.cancel("q")
    story.cancel("p")
    story.outcomes("q")
    story.notices("me")
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.events("q")
    story.outcomes("p")
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish nothing
    cancel q:0: publish nothing
    cancel q:1: publish nothing
    read q: open, 0 left; cancelled cancelled
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing; more of q
    read q: open, 0 left; cancelled cancelled
    left over: nothing
    """)
def the_steps_of_a_waiting_run_may_be_cancelled_and_it_ends_in_its_turn(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1)))
    story.open(run_of("q", ("critical", "a", 1), ("parallel", "", 1), after=("r",)))
    story.cancel_step("q", 0)
    story.cancel_step("q", 1)
    story.outcomes("q")
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.outcomes("q")
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish nothing
    r has a deadline: True
    q has a deadline: False
    watch: {'q': 'open'}
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing; more of q
    watch: {'q': 'open'}
    tick none: none; publish q/0 to parallel
    seconds from its beginning: 50
    tick none: none; publish nothing
    read q: settled, 0 left; timed_out
    """)
def a_deadline_counts_from_a_runs_beginning(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1), deadline_s=100))
    story.open(run_of("q", ("parallel", "", 1), deadline_s=50, after=("r",)))
    for run in ("r", "q"):
        story.tell(f"{run} has a deadline:", story.client.zscore(f"{story.root}due", f"deadline:{run}") is not None)
    _long_ago(story, "q")
    story.watch("q")
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.watch("q")
    story.tick()
    record = story.client.hgetall(f"{story.root}run:q")
    story.tell("seconds from its beginning:", (int(record[b"deadline"]) - int(record[b"began"])) // 1_000_000)
    story.bring_due("deadline")
    story.tick()
    story.outcomes("q")


def _long_ago(story: Story, run: str) -> None:
    """Let a run have been accepted an hour ago, which is past its deadline."""
    key = f"{story.root}run:{run}"
    for field in ("created", "deadline"):
        story.client.hincrby(key, field, -3_600_000_000)


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish nothing
    open p: new; publish nothing
    open o: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing; more of q
    begun: [('o', 0)]
    notice to me: q;
    notice to me: p;
    cancel o: publish nothing
    left over: nothing
    """)
def a_chain_of_empty_runs_goes_through_at_once(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1)))
    story.open(run_of("q", after=("r",)), inbox="me")
    story.open(run_of("p", after=("q",)), inbox="me")
    story.open(run_of("o", ("parallel", "", 1), after=("p",)))
    story.notices("me")
    (step,) = story.claim("r", 0)
    settled = story.settle("r", 0, ok(step))
    story.tell("begun:", [(one.run_id, one.parcel) for one in story.ledger.finish(settled.unfinished)])
    story.notices("me")
    story.cancel("o")
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish r/1 to parallel; more of q
    tick none: none; publish q/0 to parallel
    claim 1 of q/0 by w: 0 f2 #1 after 0
    open p: new; publish p/0 to parallel
    claim 1 of r/1 by w: 1 f3 #1 after 0
    """)
def a_run_waits_for_outcomes_and_not_for_the_completion_body(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1), body=("parallel", "")))
    story.open(run_of("q", ("parallel", "", 1), after=("r",)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.tick()
    story.claim("q", 0)
    story.open(run_of("p", ("parallel", "", 1), after=("r",)))
    story.claim("r", 1)


@scenario("""
    open r: new; publish r/0 to parallel
    open p: InvalidBatch ([Problem(path='after', message='run r has 500 runs waiting for it already')],)
    claim 1 of r/0 by w: 0 f1 #1 after 0
    unfinished: 500
    begun: 500
    still waiting: []
    """)
def as_many_runs_as_one_call_may_touch_wait_for_one(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1)))
    for number in range(MOST_FOLLOWERS):
        story.ledger.open(run_of(f"q{number}", ("parallel", "", 1), after=("r",)))
    story.open(run_of("p", ("parallel", "", 1), after=("r",)))
    (step,) = story.claim("r", 0)
    settled = story.ledger.settle("r", 0, [ok(step)], worker="w")
    story.tell("unfinished:", len(settled.unfinished))
    story.tell("begun:", len({one.run_id for one in story.ledger.finish(settled.unfinished)}))
    runs = story.ledger.site.runs(is_open=True, first=0, count=600)
    story.tell("still waiting:", [run for run in runs if not story.client.hget(f"{story.root}run:{run}", "began")])


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok and claim 1: yes; publish nothing; next 1 f2 #1 after 0
    lane a: r q (held by r)
    settle r:1 f2 ok: yes; publish q/0 to critical
    read r: settled, 0 left; succeeded succeeded
    lane a: q (held by q)
    """)
def a_run_that_an_earlier_release_opened_has_begun(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 2)))
    story.open(run_of("q", ("critical", "a", 1)))
    for field in ("began", "prio", "later", "mode"):
        story.client.hdel(f"{story.root}run:r", field)
    (step,) = story.claim("r", 0)
    (step,) = story.go_on("r", 0, ok(step))
    story.line("a")
    story.settle("r", 0, ok(step))
    story.outcomes("r")
    story.line("a")
