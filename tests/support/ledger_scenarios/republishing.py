"""Messages are hints: what nobody claims is published again, what somebody works on is not."""

from steps.ledger.records import Beat
from tests.support.ledger_story import Story, ok, run_of, scenario
from tests.support.processes import wait_until

REPUBLISH_S = 10


@scenario(
    """
    open r: new; publish r/0 to critical, r/1 to parallel
    tick none: none; publish nothing
    tick none: none; publish r/1 to parallel ; maybe lost publish r/0 to critical
    tick none: none; publish r/1 to parallel ; maybe lost publish r/0 to critical
    looks again in: check:r:0 40 s check:r:1 40 s
    tick none: none; publish r/1 to parallel ; maybe lost publish r/0 to critical
    looks again in: check:r:0 60 s check:r:1 60 s
    tick none: none; publish r/1 to parallel ; maybe lost publish r/0 to critical
    looks again in: check:r:0 60 s check:r:1 60 s
    """,
    republish_s=REPUBLISH_S,
)
def a_parcel_nobody_claims_comes_again(story: Story) -> None:
    story.join("w", queue="parallel")
    story.open(run_of("r", ("critical", "a", 1), ("parallel", "", 1), critical_first=False))
    story.tick()
    story.bring_due("check")
    story.tick(Beat(published=(("r", 0), ("never was", 3))))
    for _ in range(3):
        story.bring_due("check")
        story.tick()
        story.tell("looks again in:", *_pauses(story))


def _pauses(story: Story) -> list[str]:
    now_s, _ = story.client.time()
    due = story.client.zrange(f"{story.root}due", 0, -1, withscores=True)
    looks = [(name.decode(), at / 1000 - now_s) for name, at in due if name.startswith(b"check:")]
    return [f"{name} {round(pause_s / REPUBLISH_S) * REPUBLISH_S} s" for name, pause_s in sorted(looks)]


@scenario(
    """
    open r: new; publish r/0 to critical, r/1 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of r/1 by w: 2 f2 #1 after 0; more
    tick none: none; publish nothing
    looks again in: check:r:0 10 s check:r:1 10 s
    settle r:2 f2 ok and claim 1: yes; publish nothing; next 3 f3 #1 after 0
    tick none: none; publish nothing
    looks again in: check:r:0 10 s
    settle r:0 f1 ok and claim 0: yes; publish r/0 to critical; next nothing
    looks again in: check:r:0 10 s
    """,
    republish_s=REPUBLISH_S,
)
def a_parcel_somebody_works_on_does_not_come_again(story: Story) -> None:
    story.join("w", queue="parallel")
    story.open(run_of("r", ("critical", "a", 2), ("parallel", "", 2), critical_first=False))
    (critical,) = story.claim("r", 0)
    (step,) = story.claim("r", 1)
    story.bring_due("check")
    story.tick()
    story.tell("looks again in:", *_pauses(story))
    story.go_on("r", 1, ok(step))
    story.bring_due("check")
    story.tick()
    story.tell("looks again in:", *_pauses(story))
    story.go_on("r", 0, ok(critical), want=0)
    story.tell("looks again in:", *_pauses(story))


@scenario(
    """
    open r: new; publish r/0 to parallel
    unmarked: [Ready(run_id='r', parcel=0, queue='parallel', copies=1, priority=1)]
    marked: Ready(run_id='r', parcel=0, queue='parallel', copies=1, priority=1)
    """,
    republish_s=0.1,
)
def a_lost_message_is_sent_again_by_the_clock(story: Story) -> None:
    story.open(run_of("r", ("parallel", "", 1)), published=())
    seen = []
    wait_until(lambda: seen.extend(story.ledger.tick(Beat()).ready) or seen)
    story.tell("unmarked:", seen)
    wait_until(lambda: seen.extend(story.ledger.tick(Beat(published=(("r", 0),))).maybe_lost) or len(seen) > 1)
    story.tell("marked:", seen[-1])


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    open p: new; publish p/0 to parallel
    open o: new; publish o/0 to parallel
    tick none: none; publish o/0 to parallel, p/0 to parallel ; maybe lost publish q/0 to parallel, r/0 to parallel
    """)
def marks_ride_in_any_call(story: Story) -> None:
    for name in ("r", "q", "p"):
        story.open(run_of(name, ("parallel", "", 1)))
    story.ledger.watch("", ["r"], published=[("r", 0)])
    story.open(run_of("o", ("parallel", "", 1)), published=[("q", 0)])
    story.bring_due("check")
    story.tick()


@scenario("""
    tick none: none; publish nothing
    nothing is due: None
    open r: new; publish r/0 to parallel
    tick none: none; publish nothing
    at the deadline: True
    """)
def a_tick_tells_when_to_come_again(story: Story) -> None:
    story.tell("nothing is due:", story.tick().next_due_s)
    story.open(run_of("r", ("parallel", "", 1), deadline_s=50))
    next_due_s = story.tick().next_due_s
    assert next_due_s is not None
    story.tell("at the deadline:", 40 < next_due_s <= 50)
