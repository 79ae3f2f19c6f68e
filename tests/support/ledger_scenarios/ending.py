"""How runs end: completion bodies, events, and what is left of them."""

from steps.ledger.records import Beat
from tests.support.ledger_story import Story, failed, ok, retry, run_of, scenario

PARALLEL_BODY = ("parallel", "")


@scenario("""
    open r: new; publish r/0 to critical
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 retry: yes; publish nothing
    claim 1 of r/0 by w: 0 f2 #2 after 1
    settle r:0 f2 ok and claim 1: yes; publish nothing; next 1 f3 #1 after 0
    settle r:1 f3 failed and claim 1: yes; publish r/1 to parallel; next nothing
    claim 1 of r/1 by w: 3 f4 #1 after 0; more
    cancel r: publish nothing
    settle r:3 f4 ok: yes; publish nothing
    event of r: run.started
    event of r: step.started 0 #1 f1 w
    event of r: step.retry 0 #1 f1 w
    event of r: step.started 0 #2 f2 w
    event of r: step.completed 0 #2 f2 w succeeded
    event of r: step.started 1 #1 f3 w
    event of r: step.failed 1 #1 f3 w failed
    event of r: step.skipped 2 #0 - - skipped
    event of r: step.started 3 #1 f4 w
    event of r: step.cancelled 4 #0 - - cancelled
    event of r: step.completed 3 #1 f4 w succeeded
    event of r: run.completed
    """)
def every_change_of_a_run_is_an_event(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 3), ("parallel", "", 2), body=PARALLEL_BODY))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, retry(step))
    story.bring_due("retry")
    story.ledger.tick(Beat())
    (step,) = story.claim("r", 0)
    (step,) = story.go_on("r", 0, ok(step))
    story.go_on("r", 0, failed(step))
    (step,) = story.claim("r", 1)
    story.cancel("r")
    story.settle("r", 1, ok(step))
    story.events("r")


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0; more
    4 a step and 1,000: 1008
    """)
def events_are_capped(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 2)))
    pipeline = story.client.pipeline(transaction=False)
    for _ in range(1_100):
        pipeline.xadd(f"{story.root}events:r", {"event": "noise"})
    pipeline.execute()
    story.claim("r", 0)
    story.tell("4 a step and 1,000:", story.client.xlen(f"{story.root}events:r"))


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish q/0 to critical, r/1 to critical
    claim 1 of r/1 by w: 1 f2 #1 after 0
    settle r:1 f2 ok: yes; publish r/2 to parallel
    claim 1 of r/2 by w: 2 f3 #1 after 0
    settle r:2 f3 ok: yes; publish nothing
    r expires: {'run': True, 'events': True}
    claim 1 of q/0 by w: 0 f4 #1 after 0
    settle q:0 f4 ok: yes; publish q/1 to critical
    claim 1 of q/1 by w: 1 f5 #1 after 0
    settle q:1 f5 ok: yes; publish q/2 to parallel
    claim 1 of q/2 by w: 2 f6 #1 after 0
    settle q:2 f6 ok: yes; publish nothing
    q expires: {'run': True, 'events': True}
    pending: {'critical': 0, 'parallel': 0}
    left over: nothing
    """)
def nothing_is_left_over_but_what_expires(story: Story) -> None:
    story.join("w")
    for name in ("r", "q"):
        story.open(run_of(name, ("critical", "a", 1), ("critical", "b", 1), ("parallel", "", 1)), inbox="me")
    for name in ("r", "q"):
        for parcel in range(3):
            (step,) = story.claim(name, parcel)
            story.settle(name, parcel, ok(step))
        story.expiry(name)
    story.pending()
    story.left_over()
