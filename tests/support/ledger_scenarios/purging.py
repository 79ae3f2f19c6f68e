"""Settled runs that are forgotten before their time."""

from tests.support.ledger_story import Story, failed, ok, run_of, scenario

MANY = 120
"""More runs than one call looks at."""


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing
    settled: ['r']
    purge: 0 forgotten
    purge: 1 forgotten
    purge: 0 forgotten
    status of r: gone
    status of q: state=open, unclaimed on parallel
    settled: []
    events of r: 0
    """)
def settled_runs_are_forgotten_and_open_ones_kept(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1)))
    story.open(run_of("q", ("parallel", "", 1)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.tell("settled:", story.ledger.site.runs(is_open=False, first=0, count=10))
    story.purge(older_than_s=60)
    story.purge()
    story.purge()
    story.status("r", "state")
    story.status("q", "state")
    story.tell("settled:", story.ledger.site.runs(is_open=False, first=0, count=10))
    story.tell("events of r:", len(story.ledger.events("r", "0")))


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish r/1 to parallel
    purge: 0 forgotten
    claim 1 of r/1 by w: 1 f2 #1 after 0
    purge: 0 forgotten
    settle r:1 f2 ok: yes; publish nothing
    purge: 1 forgotten
    """)
def a_run_whose_completion_body_runs_is_kept(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1), body=("parallel", "")))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.purge()
    (step,) = story.claim("r", 1)
    story.purge()
    story.settle("r", 1, ok(step))
    story.purge()


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 failed: yes; publish nothing
    purge: 0 forgotten
    vacate r:0 f1: yes; publish q/0 to critical
    lane a: q (held by q)
    purge: 1 forgotten
    """)
def a_run_whose_code_may_still_run_in_a_lane_is_kept(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1)))
    story.open(run_of("q", ("critical", "a", 1)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, failed(step), vacated=False)
    story.purge()
    story.vacate("r", 0, step.fence)
    story.line("a")
    story.purge()


@scenario("""
    purge: 120 forgotten
    kept: 120
    """)
def more_runs_are_forgotten_than_one_call_looks_at_and_those_behind_the_kept_ones(story: Story) -> None:
    story.join("w")
    for number in range(MANY):
        story.ledger.open(run_of(f"r{number}", ("parallel", "", 1), body=("parallel", "")))
        story.ledger.cancel_step(f"r{number}", 0, "enough")
    for number in range(MANY):
        story.ledger.open(run_of(f"q{number}"))
    story.purge()
    story.tell("kept:", len(story.ledger.site.runs(is_open=False, first=0, count=500)))


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing; more of q
    purge: 1 forgotten
    tick none: none; publish q/0 to parallel
    claim 1 of q/0 by w: 0 f2 #1 after 0
    """)
def a_run_may_follow_one_that_is_forgotten_afterwards(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1)))
    story.open(run_of("q", ("parallel", "", 1), after=("r",)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.purge()
    story.tick()
    story.claim("q", 0)
