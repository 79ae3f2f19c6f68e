"""The keepers' tick: who lives, what the dead leave behind, what is due."""

from steps.ledger.records import Beat
from tests.support.ledger_story import Story, ok, retry, run_of, scenario

REPUBLISH_S = 10


@scenario("""
    tick beat w: dead; publish nothing
    tick join w: alive; publish nothing
    tick join v: alive; publish nothing
    workers: [('v', 'parallel', '{"pid":2}'), ('w', 'critical', '{"pid":1}')]
    known: ['GetStep', 'ReadStep']
    tick beat w: alive; publish nothing
    beats: {'v': 1, 'w': 2}
    tick leave w: left; publish nothing
    workers: ['v']
    tick leave w: left; publish nothing
    known: ['GetStep', 'ReadStep']
    """)
def workers_join_beat_and_leave(story: Story) -> None:
    story.tick(Beat("w", "beat"))
    story.tick(Beat("w", "join", "critical", '{"pid":1}', {"GetStep": '{"name":"GetStep"}'}))
    story.tick(Beat("v", "join", "parallel", '{"pid":2}', {"ReadStep": '{"name":"ReadStep"}'}))
    story.tell("workers:", [(card.worker_id, card.queue, card.info.decode()) for card in story.ledger.site.workers()])
    story.tell("known:", sorted(story.ledger.site.known_steps()))
    story.tell("beats:", dict(sorted(story.tick(Beat("w", "beat")).beats.items())))
    story.tick(Beat("w", "leave"))
    story.tell("workers:", [card.worker_id for card in story.ledger.site.workers()])
    story.tick(Beat("w", "leave"))
    story.tell("known:", sorted(story.ledger.site.known_steps()))


@scenario(
    """
    known: ['KeptStep']
    """,
    known_steps_ttl_s=1,
)
def steps_that_no_worker_lists_any_more_are_forgotten(story: Story) -> None:
    story.join("w")
    story.ledger.tick(Beat("w", "beat", known={"OldStep": "{}", "KeptStep": "{}"}))
    story.client.zadd(f"{story.root}known_seen", {"OldStep": 1})
    story.ledger.tick(Beat("w", "beat", known={"KeptStep": "{}"}))
    story.tell("known:", sorted(story.ledger.site.known_steps()))


@scenario("""
    open r: new; publish r/0 to critical, r/1 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 2 of r/1 by w: 2 f2 #1 after 0, 3 f3 #1 after 0; more
    tick beat v: alive; publish nothing
    tick beat v: alive; publish r/0 to critical, r/1 to parallel
    tick beat w: dead; publish nothing
    r:0 is ready #1, died 1, failed 0
    r:2 is ready #1, died 0, failed 0
    r:3 is ready #1, died 0, failed 0
    claim 1 of r/0 by v: 0 f4 #2 after 0
    claim 5 of r/1 by v: 2 f5 #2 after 0 suspect, 3 f6 #2 after 0 suspect, 4 f7 #1 after 0
    """)
def a_worker_is_reaped_only_at_the_beat_last_seen(story: Story) -> None:
    story.join("w", "v")
    story.open(run_of("r", ("critical", "a", 2), ("parallel", "", 3), critical_first=False))
    story.claim("r", 0)
    story.claim("r", 1, want=2)
    beat = story.ledger.tick(Beat("v", "beat")).beats["w"]
    story.tick(Beat("v", "beat", reap=(("w", beat - 1),)))
    story.tick(Beat("v", "beat", reap=(("w", beat), ("nobody", 1))))
    story.tick(Beat("w", "beat"))
    story.states("r")
    story.claim("r", 0, worker="v")
    story.claim("r", 1, want=5, worker="v")


@scenario("""
    open r: new; publish r/0 to critical
    claim 1 of r/0 by w: 0 f1 #1 after 0
    tick leave w: left; publish r/0 to critical
    claim 1 of r/0 by w: 0 f2 #2 after 0
    tick leave w: left; publish r/0 to critical
    claim 1 of r/0 by w: 0 f3 #3 after 0
    tick leave w: left; publish r/0 to critical
    claim 1 of r/0 by w: 0 f4 #4 after 0
    tick leave w: left; publish r/0 to critical
    r:0 is ready #4, died 0, failed 0
    """)
def an_announced_end_is_no_death(story: Story) -> None:
    story.join("w", "v")
    story.open(run_of("r", ("critical", "a", 1)))
    for _ in range(4):
        story.claim("r", 0)
        story.tick(Beat("w", "leave"))
        story.join("w")
    story.states("r")


@scenario("""
    open r: new; publish r/0 to parallel
    tick leave w: leaving; publish r/0 to parallel
    tick leave w: left; publish r/0 to parallel
    claimed again: True
    """)
def a_worker_leaves_with_more_claims_than_one_call_may_touch(story: Story) -> None:
    story.join("w", queue="parallel")
    story.open(run_of("r", ("parallel", "", 700), max_concurrency=1000))
    for _ in range(2):
        story.ledger.claim("r", 0, worker="w", want=500, with_meta=False)
    story.tick(Beat("w", "leave"))
    story.tick(Beat("w", "leave"))
    story.join("v", queue="parallel")
    again = [story.ledger.claim("r", 0, worker="v", want=500, with_meta=False) for _ in range(2)]
    story.tell("claimed again:", sorted(step.index for one in again if one for step in one.steps) == list(range(700)))


@scenario("""
    open r: new; publish r/0 to critical
    claim 1 of r/0 by w: 0 f1 #1 after 0
    tick none: none; publish r/0 to critical
    claim 1 of r/0 by w: 0 f2 #2 after 0
    tick none: none; publish r/0 to critical
    claim 1 of r/0 by w: 0 f3 #3 after 0
    tick none: none; publish r/0 to critical
    read r: open, 1 left; lost -
    outcome r:0: lost, 3 attempts; WorkerLost
    the process it ran in died 3 times
    r:0 is vacated #3, died 3, failed 0
    event of r: run.started
    event of r: step.started 0 #1 f1 w
    event of r: step.started 0 #2 f2 w
    event of r: step.started 0 #3 f3 w
    event of r: step.failed 0 #3 f3 w lost
    """)
def the_third_death_settles_a_step_as_lost(story: Story) -> None:
    story.open(run_of("r", ("critical", "a", 2), stops_at_failure=False))
    for _ in range(3):
        story.join("w")
        story.claim("r", 0)
        story.reap("w")
    story.outcomes("r")
    story.outcome("r", 0)
    story.states("r")
    story.events("r")


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0
    tick none w: none; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f2 #2 after 0
    tick none w: none; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f3 #3 after 0
    tick none w: none; publish r/0 to parallel
    claim 1 of r/0 by v: 1 f4 #1 after 0
    """)
def a_lost_parallel_step_does_not_hold_up_its_parcel(story: Story) -> None:
    story.join("v", "w", queue="parallel")
    story.open(run_of("r", ("parallel", "", 2), max_concurrency=1))
    for _ in range(3):
        (step,) = story.claim("r", 0)
        story.die_alone("r", step)
    story.claim("r", 0, worker="v")


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0; more
    tick none: none; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f2 #2 after 0 suspect; more
    tick none: none; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f3 #3 after 0 suspect; more
    tick none: none; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f4 #4 after 0 suspect; more
    tick none: none; publish r/0 to parallel
    r:0 is ready #4, died 0, failed 0
    claim 2 of r/0 by v: 0 f5 #5 after 0 suspect, 1 f6 #1 after 0
    settle r:0 f5 retry: yes; publish nothing
    tick none: none; publish r/0 to parallel
    claim 1 of r/0 by v: 0 f7 #6 after 1 suspect
    tick none v: none; publish r/0 to parallel
    r:0 is ready #6, died 1, failed 1
    r:1 is running #1, died 0, failed 0
    """)
def who_is_beside_the_dead_is_suspect_and_not_to_blame(story: Story) -> None:
    story.join("v", queue="parallel")
    story.open(run_of("r", ("parallel", "", 2)))
    for _ in range(4):
        story.join("w", queue="parallel")
        story.claim("r", 0)
        story.reap("w")
    story.states("r")
    step, _ = story.claim("r", 0, want=2, worker="v")
    story.settle("r", 0, retry(step))
    story.bring_due("retry")
    story.tick()
    (step,) = story.claim("r", 0, worker="v")
    story.die_alone("r", step, worker="v")
    story.states("r")


@scenario("""
    open r: new; publish r/0 to critical
    open q: new; publish q/0 to critical
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of q/0 by w: 0 f2 #1 after 0
    tick beat w: alive; publish r/0 to critical
    r:0 is ready #1, died 1, failed 0
    q:0 is running #1, died 0, failed 0
    tick beat w: alive; publish nothing
    """)
def what_a_dead_child_ran_is_taken_back(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("critical", "a", 1)))
    story.open(run_of("q", ("critical", "b", 1)))
    (one,) = story.claim("r", 0)
    (two,) = story.claim("q", 0)
    story.tick(Beat("w", "beat", held=("r:0", "q:0"), dead_claims=(("r:0", one.fence), ("q:0", two.fence - 1))))
    story.states("r")
    story.states("q")
    story.tick(Beat("w", "beat", held=("q:0",), dead_claims=(("r:0", one.fence), ("gone:0", 1))))


@scenario("""
    open r: new; publish r/0 to parallel
    claim 3 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0, 2 f3 #1 after 0
    tick beat w: alive; publish nothing
    tick beat w: alive; publish r/0 to parallel
    r:0 is running #1, died 0, failed 0
    r:1 is ready #1, died 0, failed 0
    r:2 is running #1, died 0, failed 0
    settle r:1 f2 ok: no; publish nothing
    """)
def a_claim_that_its_worker_does_not_know_of_is_taken_back(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 3)))
    _one, two, _three = story.claim("r", 0, want=3)
    story.tick(Beat("w", "beat", held=("r:0",)))
    _age(story, "r", 0, 1)
    story.tick(Beat("w", "beat", held=("r:0",)))
    story.states("r")
    story.settle("r", 0, ok(two))


def _age(story: Story, run: str, *steps: int) -> None:
    """Let a claim be older than an answer may take."""
    for index in steps:
        parts = story.client.hget(f"{story.root}run:{run}", f"s{index}").decode().split("|")
        parts[7] = str(int(parts[7]) - 11_000_000)
        story.client.hset(f"{story.root}run:{run}", f"s{index}", "|".join(parts))
