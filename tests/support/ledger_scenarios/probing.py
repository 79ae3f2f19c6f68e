"""Lost or late: a probe that has come out of a queue says so of all that was published before it."""

from steps.ledger.records import Beat
from tests.support.ledger_story import Story, ok, run_of, scenario

REPUBLISH_S = 10
PROBE_AGE_S = 8 * REPUBLISH_S


def look(story: Story, *came_out: int, worker: str = "w", queue: str = "critical", received: str = "") -> None:
    """Let a worker beat when every parcel is to be looked at."""
    story.bring_due("check")
    probes = tuple((queue, probe) for probe in came_out)
    story.tick(Beat(worker, "beat", queue, received=tuple(received.split()), came_out=probes))


def open_marked(story: Story, *runs: str, queue: str = "critical") -> None:
    """Open runs in lanes of their own whose messages are known to have been sent."""
    for run in runs:
        story.open(run_of(run, (queue, f"lane of {run}" if queue == "critical" else "", 1)))
    story.ledger.tick(Beat(published=tuple((run, 0) for run in runs)))


@scenario(
    """
    open r: new; publish r/0 to critical
    open q: new; publish q/0 to critical
    tick beat w: alive; publish nothing ; maybe lost publish q/0 to critical, r/0 to critical ; probe critical
    tick beat w: alive; publish nothing ; maybe lost publish q/0 to critical, r/0 to critical
    claim 1 of q/0 by w: 0 f1 #1 after 0
    tick beat w: alive; publish nothing ; maybe lost publish r/0 to critical
    tick beat w: alive; publish r/0 to critical
    tick beat w: alive; publish r/0 to critical
    tick beat w: alive; publish nothing ; maybe lost publish r/0 to critical ; probe critical
    """,
    republish_s=REPUBLISH_S,
)
def what_is_not_claimed_after_its_probe_came_out_is_lost(story: Story) -> None:
    story.join("w")
    open_marked(story, "r", "q")
    look(story)
    look(story)
    story.claim("q", 0)
    look(story, story.probes[0])  # who got the message has the time to claim it
    story.probes_grow_old(REPUBLISH_S)
    look(story)
    look(story)  # nobody said that it was published
    story.ledger.tick(Beat(published=(("r", 0),)))
    look(story)


@scenario(
    """
    open r: new; publish r/0 to critical
    tick beat w: alive; publish nothing ; maybe lost publish r/0 to critical ; probe critical
    open q: new; publish q/0 to critical
    tick beat w: alive; publish nothing ; maybe lost publish q/0 to critical, r/0 to critical
    tick beat w: alive; publish nothing ; maybe lost publish q/0 to critical, r/0 to critical ; probe critical
    tick beat w: alive; publish r/0 to critical ; maybe lost publish q/0 to critical
    """,
    republish_s=REPUBLISH_S,
)
def a_probe_says_nothing_of_what_was_published_after_it(story: Story) -> None:
    story.join("w")
    open_marked(story, "r")
    look(story)
    open_marked(story, "q")
    look(story)
    look(story, story.probes[0])
    story.probes_grow_old(REPUBLISH_S)
    look(story)


@scenario(
    """
    open r: new; publish r/0 to critical
    tick beat w: alive; publish nothing
    tick beat w: alive; publish nothing ; maybe lost publish r/0 to critical ; probe critical
    tick beat w: alive; publish nothing ; maybe lost publish r/0 to critical
    tick beat v: alive; publish nothing
    tick beat w: alive; publish nothing
    tick beat v: alive; publish r/0 to critical
    """,
    republish_s=REPUBLISH_S,
)
def what_a_live_worker_has_got_is_not_lost(story: Story) -> None:
    story.join("w", "v")
    open_marked(story, "r")
    look(story, received="q/1 r:0")
    look(story)
    look(story, story.probes[0])
    story.probes_grow_old(REPUBLISH_S)
    look(story, worker="v", received="r:0")
    look(story)
    look(story, worker="v")  # it was acknowledged, and nobody has claimed it


@scenario(
    """
    open r: new; publish r/0 to critical
    tick beat w: alive; publish nothing ; maybe lost publish r/0 to critical ; probe critical
    tick beat w: alive; publish nothing ; maybe lost publish r/0 to critical
    tick beat w: alive; publish nothing ; maybe lost publish r/0 to critical ; probe critical
    tick beat w: alive; publish nothing ; maybe lost publish r/0 to critical
    tick beat w: alive; publish nothing ; maybe lost publish r/0 to critical ; probe critical
    tick beat w: alive; publish nothing ; maybe lost publish r/0 to critical
    tick beat w: alive; publish r/0 to critical
    """,
    republish_s=REPUBLISH_S,
)
def a_probe_that_may_be_lost_itself_is_followed_by_another_ever_later(story: Story) -> None:
    story.join("w")
    open_marked(story, "r")
    look(story)
    story.probes_grow_old(PROBE_AGE_S - 5)
    look(story)
    story.probes_grow_old(5)
    look(story)
    story.probes_grow_old(PROBE_AGE_S)
    look(story)
    story.probes_grow_old(PROBE_AGE_S)
    look(story)
    look(story, story.probes[-2:][0])  # not the last one
    story.probes_grow_old(REPUBLISH_S)
    look(story)


@scenario(
    """
    open r: new; publish r/0 to critical
    tick beat w: alive; publish nothing ; maybe lost publish r/0 to critical
    tick none: none; publish nothing ; maybe lost publish r/0 to critical
    tick beat w: alive; publish nothing ; maybe lost publish r/0 to critical ; probe critical
    tick beat w: alive; publish nothing ; maybe lost publish r/0 to critical
    """,
    republish_s=REPUBLISH_S,
)
def a_queue_without_a_worker_gets_no_probe(story: Story) -> None:
    story.join("w", queue="parallel")
    open_marked(story, "r")
    look(story, queue="parallel")
    story.join("v")
    story.bring_due("check")
    story.tick()  # whoever waits for a run sends none either
    look(story, queue="parallel")
    look(story, story.probes[0] + 1)  # nobody has sent that one
    assert story.probes
    assert len(story.probes) == 1


@scenario(
    """
    open r: new; publish r/0 to critical
    open q: new; publish q/0 to critical
    open p: new; publish p/0 to parallel
    claim 1 of q/0 by w: 0 f1 #1 after 0
    tick none: none; publish q/0 to critical, r/0 to critical
    tick none: none; publish nothing
    """,
    republish_s=REPUBLISH_S,
)
def what_a_dead_worker_had_got_is_published_at_once(story: Story) -> None:
    story.join("w", "v")
    open_marked(story, "r", "q")
    open_marked(story, "p", queue="parallel")
    story.claim("q", 0)
    story.ledger.tick(Beat("w", "beat", "critical", held=("q:0",), received=("r:0", "q:0", "gone:0", "r:7")))
    story.reap("w")
    story.tick()


@scenario(
    """
    open r: new; publish r/0 to critical
    open q: new; publish q/0 to critical
    open p: new; publish p/0 to critical
    claim 1 of q/0 by w: 0 f1 #1 after 0
    tick leave w: left; publish q/0 to critical, r/0 to critical
    """,
    republish_s=REPUBLISH_S,
)
def what_a_worker_does_not_give_back_is_published_when_it_leaves(story: Story) -> None:
    story.join("w", "v")
    open_marked(story, "r", "q", "p")
    story.claim("q", 0)
    story.tick(Beat("w", "leave", received=("r:0", "q:0")))


@scenario(
    """
    open r: new; publish r/0 to parallel
    tick beat w: alive; publish r/0 to critical
    tick beat w: alive; publish nothing ; maybe lost publish r/0 to critical ; probe critical
    tick beat w: alive; publish nothing ; maybe lost publish r/0 to critical
    tick beat w: alive; publish r/0 to parallel
    tick beat w: alive; publish r/0 to parallel
    claim 1 of r/0 by p: 0 f1 #1 after 0
    settle r:0 f1 ok: yes; publish nothing
    """,
    republish_s=REPUBLISH_S,
)
def what_goes_to_another_queue_goes_there_once(story: Story) -> None:
    story.join("w")
    open_marked(story, "r", queue="parallel")
    story.client.hset(f"{story.root}run:r", "began", 0)
    look(story)
    story.ledger.tick(Beat(published=(("r", 0),)))
    look(story)
    look(story)
    story.join("p", queue="parallel")
    look(story)
    look(story)
    (step,) = story.claim("r", 0, worker="p")
    story.settle("r", 0, ok(step), worker="p")


@scenario(
    """
    open r: new; publish r/0 to parallel
    tick beat w: alive; publish r/0 to critical
    tick leave w: left; publish r/0 to parallel
    tick beat v: alive; publish r/0 to critical
    """,
    republish_s=REPUBLISH_S,
)
def what_came_back_from_another_queue_goes_there_again(story: Story) -> None:
    story.join("w", "v")
    open_marked(story, "r", queue="parallel")
    story.client.hset(f"{story.root}run:r", "began", 0)
    look(story)
    story.ledger.tick(Beat(published=(("r", 0),)))
    story.tick(Beat("w", "leave", received=("r:0",)))
    story.ledger.tick(Beat(published=(("r", 0),)))
    look(story, worker="v")


@scenario(
    """
    open r: new; publish r/0 to critical
    open q: new; publish q/0 to critical
    claim 1 of q/0 by w: nothing
    tick beat w: alive; publish nothing ; maybe lost publish q/0 to critical, r/0 to critical ; probe critical
    """,
    republish_s=REPUBLISH_S,
)
def marks_ride_in_a_claim_too(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1)))
    story.open(run_of("q", ("critical", "b", 1)))
    marks = (("r", 0), ("q", 0))
    claimed = story.ledger.claim("q", 0, worker="w", want=0, with_meta=False, published=marks)
    story.tell("claim 1 of q/0 by w:", "nothing" if claimed is not None and not claimed.steps else claimed)
    look(story)
