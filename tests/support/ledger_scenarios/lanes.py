"""Lanes: strictly one at a time, in order of tickets, through waits, deaths and stops."""

from steps.ledger.records import Beat
from tests.support.ledger_story import Story, ok, run_of, scenario

LANE_HOLD_S = 10.0
"""The setting's default: a longer wait steps out."""


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    open p: new; publish nothing
    lane a: r q p (held by r)
    claim 1 of q/0 by w: nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of r/0 by v: nothing
    claim 1 of q/0 by v: nothing
    settle r:0 f1 ok: yes; publish q/0 to critical
    claim 1 of p/0 by w: nothing
    claim 1 of q/0 by w: 0 f2 #1 after 0
    lane a: q p (held by q)
    """)
def a_lane_is_granted_to_one_run_at_a_time_in_order(story: Story) -> None:
    story.join("w", "v")
    for name in ("r", "q", "p"):
        story.open(run_of(name, ("critical", "a", 1)))
    story.line("a")
    story.claim("q", 0)
    (step,) = story.claim("r", 0)
    story.claim("r", 0, worker="v")
    story.claim("q", 0, worker="v")
    story.settle("r", 0, ok(step))
    story.claim("p", 0)
    story.claim("q", 0)
    story.line("a")


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish q/0 to critical
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of q/0 by w: 0 f2 #1 after 0
    """)
def lanes_do_not_wait_for_each_other(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1)))
    story.open(run_of("q", ("critical", "b", 1)))
    story.claim("r", 0)
    story.claim("q", 0)


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    open p: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish r/1 to critical
    lane a: r q (held by r)
    lane b: r p (held by r)
    claim 1 of q/0 by w: nothing
    claim 1 of r/1 by w: 1 f2 #1 after 0
    settle r:1 f2 ok: yes; publish p/0 to critical, r/2 to critical
    lane a: r q (held by r)
    lane b: p (held by p)
    claim 1 of r/2 by w: 2 f3 #1 after 0
    settle r:2 f3 ok: yes; publish q/0 to critical
    lane a: q (held by q)
    lane b: p (held by p)
    """)
def a_run_keeps_its_place_in_lanes_it_will_come_back_to(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1), ("critical", "b", 1), ("critical", "a", 1)))
    story.open(run_of("q", ("critical", "a", 1)))
    story.open(run_of("p", ("critical", "b", 1)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.line("a", "b")
    story.claim("q", 0)
    (step,) = story.claim("r", 1)
    story.settle("r", 1, ok(step))
    story.line("a", "b")
    (step,) = story.claim("r", 2)
    story.settle("r", 2, ok(step))
    story.line("a", "b")


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing
    r:0 is settled #1, died 0, failed 0
    claim 1 of r/0 by w: nothing
    vacate r:0 f2: no; publish nothing
    vacate r:0 f1: yes; publish r/0 to critical
    vacate r:0 f1: no; publish nothing
    claim 1 of r/0 by w: 1 f3 #1 after 0
    settle r:1 f3 ok: yes; publish nothing
    claim 1 of q/0 by w: nothing
    settle r:1 f3 ok: no; publish q/0 to critical
    claim 1 of q/0 by w: 0 f4 #1 after 0
    vacate gone:0 f5: no; publish nothing
    """)
def a_lane_stays_shut_until_the_code_has_stopped(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 2)))
    story.open(run_of("q", ("critical", "a", 1)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step), vacated=False)
    story.states("r")
    story.claim("r", 0)
    story.vacate("r", 0, step.fence - 1)
    story.vacate("r", 0, step.fence)
    story.vacate("r", 0, step.fence)
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step), vacated=False)
    story.claim("q", 0)
    story.settle("r", 0, ok(step))
    story.claim("q", 0)
    story.vacate("gone", 0, 1)


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    open p: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish p/0 to critical
    lane a: p (held by p)
    claim 1 of p/0 by w: 0 f2 #1 after 0
    """)
def a_run_that_is_gone_holds_no_lane(story: Story) -> None:
    story.join("w")
    for name in ("r", "q", "p"):
        story.open(run_of(name, ("critical", "a", 1)))
    (step,) = story.claim("r", 0)
    story.client.delete(f"{story.root}run:q")
    story.settle("r", 0, ok(step))
    story.line("a")
    story.claim("p", 0)


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    cancel r: publish q/0 to critical
    lane a: q (held by q)
    claim 1 of q/0 by w: 0 f1 #1 after 0
    cancel q: publish nothing
    lane a: q (held by q)
    tick beat w: alive; publish nothing ; stop q:0
    """)
def a_lane_passes_on_when_its_first_run_is_cancelled(story: Story) -> None:
    story.join("w")
    for name in ("r", "q"):
        story.open(run_of(name, ("critical", "a", 1)))
    story.cancel("r")
    story.line("a")
    story.claim("q", 0)
    story.cancel("q")
    story.line("a")
    story.tick(Beat("w", "beat", held=("q:0",)))
