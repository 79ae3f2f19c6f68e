"""Steps whose queue has no worker go to the critical one: late, and only while that is so."""

from steps.ledger.records import Beat
from tests.support.ledger_story import Story, ok, run_of, scenario


@scenario("""
    open r: new; publish r/0 to parallel
    tick leave p: left; publish nothing
    tick none: none; publish r/0 to parallel
    tick none: none; publish r/0 to critical
    claim 1 of r/0 by w: 0 f1 #1 after 0; more
    settle r:0 f1 ok and claim 1: yes; publish nothing; next 1 f2 #1 after 0; more
    settle r:1 f2 ok and claim 1: yes; publish nothing; next 2 f3 #1 after 0
    settle r:2 f3 ok: yes; publish nothing
    left over: nothing
    """)
def parallel_steps_go_to_the_critical_queue_once_their_own_is_deserted(story: Story) -> None:
    story.join("w")
    story.join("p", queue="parallel")
    story.open(run_of("r", ("parallel", "", 3)))
    story.tick(Beat("p", "leave"))
    story.bring_due("check")
    story.tick()
    story.client.hset(f"{story.root}site", "left|parallel", 0)
    story.bring_due("check")
    story.tick()
    (step,) = story.claim("r", 0)
    (step,) = story.go_on("r", 0, ok(step))
    (step,) = story.go_on("r", 0, ok(step))
    story.settle("r", 0, ok(step))
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    tick none: none; publish r/0 to parallel
    tick none: none; publish r/0 to critical
    """)
def they_wait_where_no_worker_was_ever_seen(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1)))
    story.bring_due("check")
    story.tick()
    story.client.hset(f"{story.root}run:r", "began", 0)
    story.bring_due("check")
    story.tick()


@scenario("""
    open r: new; publish r/0 to parallel
    tick leave p: left; publish nothing
    tick none: none; publish r/0 to parallel
    """)
def they_stay_where_the_critical_queue_has_no_worker_either(story: Story) -> None:
    story.join("p", queue="parallel")
    story.open(run_of("r", ("parallel", "", 1)))
    story.tick(Beat("p", "leave"))
    story.client.hset(f"{story.root}site", "left|parallel", 0)
    story.bring_due("check")
    story.tick()


@scenario("""
    open r: new; publish r/0 to parallel
    tick leave p: left; publish nothing
    tick none: none; publish r/0 to parallel
    """)
def they_stay_where_their_own_has_a_worker_again(story: Story) -> None:
    story.join("w")
    story.join("p", queue="parallel")
    story.open(run_of("r", ("parallel", "", 1)))
    story.tick(Beat("p", "leave"))
    story.client.hset(f"{story.root}site", "left|parallel", 0)
    story.join("q", queue="parallel")
    story.bring_due("check")
    story.tick()


@scenario("""
    open r: new; publish r/0 to own
    tick none: none; publish r/0 to own
    """)
def critical_steps_never_leave_their_queue(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("own", "a", 1)))
    story.client.hset(f"{story.root}site", "left|own", 0)
    story.bring_due("check")
    story.tick()
