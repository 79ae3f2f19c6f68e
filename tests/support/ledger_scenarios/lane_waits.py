"""Waits in a lane: a short one keeps its place, a long one steps out."""

from tests.support.ledger_story import Story, ok, park, retry, run_of, scenario

LANE_HOLD_S = 10.0
"""A longer wait steps out."""


@scenario(
    """
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 retry and claim 1: yes; publish nothing; next nothing
    lane a: r q (held by r)
    claim 1 of r/0 by w: nothing
    claim 1 of q/0 by w: nothing
    tick none: none; publish r/0 to critical
    claim 1 of r/0 by w: 0 f2 #2 after 1
    settle r:0 f2 ok and claim 1: yes; publish nothing; next 1 f3 #1 after 0
    """,
    lane_hold_s=LANE_HOLD_S,
)
def a_short_wait_keeps_its_place(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 2)))
    story.open(run_of("q", ("critical", "a", 1)))
    (step,) = story.claim("r", 0)
    story.go_on("r", 0, retry(step, LANE_HOLD_S))
    story.line("a")
    story.claim("r", 0)
    story.claim("q", 0)
    story.bring_due("retry")
    story.tick()
    (step,) = story.claim("r", 0)
    story.go_on("r", 0, ok(step))


@scenario(
    """
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    open p: new; publish nothing
    open o: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 retry: yes; publish q/0 to critical, o/0 to critical
    lane a: q p (held by q)
    lane b: o (held by o)
    claim 1 of q/0 by w: 0 f2 #1 after 0
    settle q:0 f2 ok: yes; publish p/0 to critical
    tick none: none; publish nothing
    lane a: p r (held by p)
    lane b: o r (held by o)
    claim 1 of p/0 by w: 0 f3 #1 after 0
    settle p:0 f3 ok: yes; publish r/0 to critical
    claim 1 of r/0 by w: 0 f4 #2 after 1
    settle r:0 f4 ok and claim 1: yes; publish nothing; next 1 f5 #1 after 0
    settle r:1 f5 ok: yes; publish nothing
    lane a: empty (held by nobody)
    lane b: o r (held by o)
    """,
    lane_hold_s=LANE_HOLD_S,
)
def a_long_wait_steps_out_and_comes_back_to_the_end_of_the_line(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 2), ("critical", "b", 1)))
    for name in ("q", "p"):
        story.open(run_of(name, ("critical", "a", 1)))
    story.open(run_of("o", ("critical", "b", 1)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, retry(step, LANE_HOLD_S + 0.001))
    story.line("a", "b")
    (step,) = story.claim("q", 0)
    story.settle("q", 0, ok(step))
    story.bring_due("retry")
    story.tick()
    story.line("a", "b")
    (step,) = story.claim("p", 0)
    story.settle("p", 0, ok(step))
    (step,) = story.claim("r", 0)
    (step,) = story.go_on("r", 0, ok(step))
    story.settle("r", 0, ok(step))
    story.line("a", "b")


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 park: yes; publish q/0 to critical
    lane a: q (held by q)
    r:0 is delayed #0, died 0, failed 0
    claim 1 of q/0 by w: 0 f2 #1 after 0
    tick none: none; publish nothing
    lane a: q r (held by q)
    """)
def a_parked_step_steps_out_whatever_the_wait_and_counts_no_start(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1)))
    story.open(run_of("q", ("critical", "a", 1)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, park(step, 0.001))
    story.line("a")
    story.states("r")
    story.claim("q", 0)
    story.bring_due("retry")
    story.tick()
    story.line("a")


@scenario("""
    open r: new; publish r/0 to critical
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 park: yes; publish nothing
    lane lane 599: empty (held by nobody)
    tick none: none; publish r/0 to critical
    lane lane 0: r (held by r)
    lane lane 599: r (held by nobody)
    """)
def a_run_comes_back_to_all_of_its_lanes_however_many(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", *(("critical", f"lane {number}", 1) for number in range(600))))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, park(step))
    story.line("lane 599")
    story.bring_due("retry")
    story.tick()
    story.line("lane 0", "lane 599")
