"""What the ledger tells of runs, of queues and of lanes."""

from dataclasses import replace

from tests.support.ledger_story import Story, limited, ok, park, retry, run_of, scenario

PLAIN = ("state", "left", "running", "hold", "away", "waits", "stop")


@scenario("""
    status of r: gone
    open r: new; publish r/0 to critical
    status of r: state=open, left=4, name=nightly, mode=auto, prio=1, unclaimed on parallel, unclaimed on other
    status of r: lane=a, lane_queue=critical, lane_head=r, unclaimed on parallel, unclaimed on other
    claim 1 of r/0 by w: 0 f1 #1 after 0
    status of r: state=open, left=4, hold=0, unclaimed on parallel, unclaimed on other
    settle r:0 f1 retry: yes; publish nothing
    status of r: state=open, left=4, unclaimed on parallel, unclaimed on other, time for 0/1
    tick none: none; publish r/0 to critical
    claim 1 of r/0 by w: 0 f2 #2 after 1
    settle r:0 f2 park: yes; publish nothing
    status of r: away=1, unclaimed on parallel, unclaimed on other, time for 0/1
    tick none: none; publish r/0 to critical
    claim 1 of r/0 by w: 0 f3 #2 after 1
    settle r:0 f3 ok: yes; publish r/1 to parallel, r/2 to other
    status of r: state=open, left=3, gate=1, tally=1|0|0|0|0|0, unclaimed on parallel, unclaimed on other
    claim 2 of r/1 by w: 1 f4 #1 after 0, 2 f5 #1 after 0
    status of r: running=2, unclaimed on other
    settle r:1 f4 ok, r:2 f5 retry: yes, yes; publish r/2 to other
    status of r: running=0, tally=2|0|0|0|0|0, unclaimed on other, time for 2/1
    cancel r: publish nothing
    status of r: state=closed, stop=cancelled|RunCancelled|enough, tally=2|0|0|2|0|0, left=0
    """)
def what_a_run_waits_for_is_told_at_every_stage(story: Story) -> None:
    story.join("w")
    story.status("r", *PLAIN)
    run = run_of("r", ("critical", "a", 1), ("parallel", "", 2), ("other", "", 1))
    story.open(replace(run, name="nightly", mode="auto"))
    story.status("r", *PLAIN, "name", "mode", "prio")
    story.status("r", "gate", "lane", "lane_queue", "lane_head")
    (step,) = story.claim("r", 0)
    story.status("r", *PLAIN, "gate")
    story.settle("r", 0, retry(step))
    story.status("r", *PLAIN)
    story.bring_due("retry")
    story.tick()
    (step,) = story.claim("r", 0)
    story.settle("r", 0, park(step))
    story.status("r", "away", "hold")
    story.bring_due("retry")
    story.tick()
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.status("r", *PLAIN, "gate", "lane", "tally")
    (step, other) = story.claim("r", 1, want=2)
    story.status("r", "running")
    story.settle("r", 1, ok(step), retry(other))
    story.status("r", "running", "tally")
    story.cancel("r")
    story.status("r", "state", "stop", "tally", "left")


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    lane: a head: r
    holder: r since then: True
    lanes: a r 2
    """)
def who_waits_for_a_lane_learns_who_has_it(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1)))
    story.open(run_of("q", ("critical", "a", 1)))
    story.claim("r", 0)
    (facts,) = story.ledger.status(["q"])
    assert facts is not None
    story.tell("lane:", facts.plain["lane"], "head:", facts.plain["lane_head"])
    holder, _, since = facts.plain["lane_holder"].partition("|")
    story.tell("holder:", holder, "since then:", int(since) <= facts.now_ms * 1000)
    (lane,) = story.ledger.site.lanes()
    story.tell("lanes:", lane.lane, lane.holder, lane.in_line)


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0; more
    status of q: state=open, waits=1, after=r
    cancel r: publish nothing
    status of r: state=open, stop=cancelled|RunCancelled|enough, left=1
    """)
def a_run_that_waits_for_others_or_stops_waits_for_nothing_else(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 2)))
    story.open(run_of("q", ("parallel", "", 2), after=("r",)))
    story.claim("r", 0)
    story.status("q", "state", "waits", "after", "gate")
    story.cancel("r")
    story.status("r", "state", "stop", "left", "gate")


@scenario("""
    open o: new; publish o/0 to parallel
    open r: new; publish r/0 to parallel
    claim 1 of o/0 by w: 0 f1 #1 after 0
    claim 30 of r/0 by w: nothing
    told: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    since when they are ready: True
    """)
def the_first_of_many_delayed_steps_are_told(story: Story) -> None:
    story.join("w")
    story.open(run_of("o", ("parallel", "", 1), limits=limited(0, max_running=1)))
    story.open(run_of("r", ("parallel", "", 30), limits=limited(*range(30), max_running=1)))
    story.claim("o", 0)
    story.claim("r", 0, want=30)
    (facts,) = story.ledger.status(["r"])
    assert facts is not None
    story.tell("told:", [step.index for step in facts.delayed])
    story.tell("since when they are ready:", all(0 < step.at_ms <= facts.now_ms for step in facts.delayed))


@scenario("""
    found: 150 [0, 1, 2]
    """)
def more_runs_are_looked_at_than_one_call_takes(story: Story) -> None:
    for number in range(3):
        story.ledger.open(run_of(f"r{number}", ("parallel", "", 1)))
    found = story.ledger.status([f"r{number}" for number in range(150)])
    story.tell("found:", len(found), [number for number, facts in enumerate(found) if facts is not None])


@scenario("""
    open: [] 0
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    open p: new; publish p/0 to parallel
    open: ['p', 'q'] 3
    open: ['r']
    claim 1 of q/0 by w: 0 f1 #1 after 0
    settle q:0 f1 ok: yes; publish nothing
    cancel r: publish nothing
    open: ['p']
    settled: ['r', 'q']
    """)
def runs_are_listed_newest_first(story: Story) -> None:
    story.join("w")
    story.tell("open:", story.ledger.site.runs(is_open=True, first=0, count=10), story.ledger.site.open_count())
    for at, name in enumerate(("r", "q", "p")):
        story.open(run_of(name, ("parallel", "", 1)))
        _accepted(story, name, at)
    story.tell("open:", story.ledger.site.runs(is_open=True, first=0, count=2), story.ledger.site.open_count())
    story.tell("open:", story.ledger.site.runs(is_open=True, first=2, count=2))
    (step,) = story.claim("q", 0)
    story.settle("q", 0, ok(step))
    story.cancel("r")
    story.client.zadd(f"{story.root}closed_runs", {"q": 1})
    story.tell("open:", story.ledger.site.runs(is_open=True, first=0, count=10))
    story.tell("settled:", story.ledger.site.runs(is_open=False, first=0, count=10))


@scenario("""
    queue critical: 0 None None
    queue parallel: 0 None None
    queue never: 0 None None
    open r: new; publish r/0 to critical, r/1 to parallel
    open q: new; publish q/1 to parallel
    open p: new; publish p/1 to parallel
    queue critical: 3 1000.0 1002.0
    queue parallel: 6 1000.0 1002.0
    queue never: 0 None None
    backlog: ['r', 'q'] ['p']
    claim 2 of r/1 by w: 1 f1 #1 after 0, 2 f2 #1 after 0
    settle r:1 f1 ok: yes; publish nothing
    queue critical: 3 1000.0 1002.0
    queue parallel: 5 1000.0 1002.0
    queue never: 0 None None
    settle r:2 f2 ok: yes; publish nothing
    cancel p: publish nothing
    queue critical: 2 1000.0 1001.0
    queue parallel: 2 1001.0 1001.0
    queue never: 0 None None
    cancel q: publish nothing
    cancel r: publish nothing
    queue critical: 0 None None
    queue parallel: 0 None None
    queue never: 0 None None
    """)
def a_queue_tells_how_much_it_holds_and_since_when(story: Story) -> None:
    story.join("w")
    _queues(story)
    for at, name in enumerate(("r", "q", "p")):
        story.open(run_of(name, ("critical", "a", 1), ("parallel", "", 2), critical_first=False))
        _accepted(story, name, at)
    _queues(story)
    story.tell("backlog:", story.ledger.site.backlog("parallel", 0, 2), story.ledger.site.backlog("parallel", 2, 2))
    one, two = story.claim("r", 1, want=2)
    story.settle("r", 1, ok(one))
    _queues(story)
    story.settle("r", 1, ok(two))
    story.cancel("p")
    _queues(story)
    story.cancel("q")
    story.cancel("r")
    _queues(story)


def _accepted(story: Story, run: str, at: int) -> None:
    """Let a run have been accepted so many milliseconds after the first: a test is faster than that."""
    for key in ("open_runs", "backlog:critical", "backlog:parallel"):
        story.client.zadd(f"{story.root}{key}", {run: 1_000 + at}, xx=True)


def _queues(story: Story) -> None:
    names = ("critical", "parallel", "never")
    for name, facts in zip(names, story.ledger.site.queues(names), strict=True):
        story.tell(f"queue {name}:", facts.pending, facts.oldest_ms, facts.newest_ms)
