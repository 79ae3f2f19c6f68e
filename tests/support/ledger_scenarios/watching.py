"""Whoever waits for a run hears of its end."""

from steps.errors import RunUnknown
from steps.ledger.records import StepFate
from tests.support.ledger_story import Story, ok, run_of, scenario
from tests.support.ledgers import OK
from tests.support.processes import wait_until

MANY = 1100
INBOX_CAP = 2000


@scenario("""
    open r: new; publish r/0 to parallel
    open q: new; publish q/0 to parallel
    watch: {'r': 'open', 'q': 'open', 'never was': 'gone'}
    watch: {'r': 'open'}
    watch: {'r': 'open'}
    claim 2 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0
    settle r:0 f1 ok, r:1 f2 failed: yes, yes; publish nothing
    notice to me: r; succeeded failed
    notice to you: r; succeeded failed
    watch: {'r': 'settled', 'q': 'open'}
    the inbox expires: True
    so does its sign of life: True
    """)
def a_watcher_learns_how_its_runs_stand(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 2)))
    story.open(run_of("q", ("parallel", "", 1)))
    story.watch("r", "q", "never was", inbox="me")
    story.watch("r", inbox="you")
    story.watch("r", inbox="me")
    one, two = story.claim("r", 0, want=2)
    story.settle("r", 0, ok(one), StepFate(two.index, two.fence, "S", "failed", '{"status":"failed"}'))
    story.notices("me")
    story.notices("you")
    story.watch("r", "q", inbox="me")
    story.tell("the inbox expires:", 0 < story.client.ttl(f"{story.root}inbox:me") <= 60)
    story.tell("so does its sign of life:", 0 < story.client.ttl(f"{story.root}alive:me") <= 60)


@scenario("""
    open r: new; publish r/0 to parallel
    claim 2 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0
    settle r:0 f1 ok, r:1 f2 ok: yes, yes; publish nothing
    open q: new; publish q/0 to parallel
    notice to me: r; no outcomes
    notice to me: q; no outcomes
    """)
def large_outcomes_do_not_ride_in_the_notice(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 2)), inbox="me")
    one, two = story.claim("r", 0, want=2)
    large = '{"status":"succeeded","value":"' + "x" * 40_000 + '"}'
    story.settle("r", 0, ok(one), StepFate(two.index, two.fence, "S", "succeeded", large))
    story.open(run_of("q", ("parallel", "", 501), max_concurrency=600), inbox="me")
    steps = story.ledger.claim("q", 0, worker="w", want=500, with_meta=False)
    assert steps is not None
    settled = story.ledger.settle_and_claim_next("q", 0, [ok(step) for step in steps.steps], worker="w", want=1)
    story.ledger.settle("q", 0, [ok(settled.next.steps[0])], worker="w")
    story.notices("me")


@scenario("""
    open r: new; publish r/0 to parallel
    cancel r: publish nothing
    notices: 0
    """)
def whoever_is_gone_gets_no_notice(story: Story) -> None:
    story.open(run_of("r", ("parallel", "", 1)), inbox="me")
    story.client.delete(f"{story.root}alive:me")
    story.cancel("r")
    story.tell("notices:", story.client.exists(f"{story.root}inbox:me"))


@scenario("""
    open r: new; publish nothing
    notices: 2000
    the newest: {"run":"r"
    """)
def an_inbox_that_is_not_read_keeps_only_the_newest_notices(story: Story) -> None:
    story.client.rpush(f"{story.root}inbox:me", *(b'{"run":"old"}' for _ in range(INBOX_CAP)))
    story.open(run_of("r"), inbox="me")
    story.tell("notices:", story.client.llen(f"{story.root}inbox:me"))
    story.tell("the newest:", story.client.lindex(f"{story.root}inbox:me", -1)[:10].decode())


@scenario("""
    open r: new; publish r/0 to parallel
    50 watchers from i0 to i49
    """)
def a_run_has_a_limited_number_of_watchers(story: Story) -> None:
    story.open(run_of("r", ("parallel", "", 1)))
    for number in range(60):
        story.ledger.watch(f"i{number}", ["r"])
    watchers = story.client.hget(f"{story.root}run:r", "watch").decode().split(",")
    story.tell(len(watchers), "watchers from", watchers[0], "to", watchers[-1])


@scenario("""
    open r: new; publish r/0 to critical
    read r: settled, 0 left; {'timed_out': 1101}
    notice to me: r; no outcomes
    lane a: empty (held by nobody)
    """)
def the_deadline_fires_where_no_worker_lives(story: Story) -> None:
    story.open(run_of("r", ("critical", "a", 1), ("parallel", "", MANY), deadline_s=0.02), inbox="me")
    wait_until(lambda: story.ledger.watch("me", ["r"]) == {"r": "settled"})
    story.outcomes_in_short("r")
    story.notices("me")
    story.line("a")


@scenario("""
    open r: new; publish r/0 to parallel
    running: 1000
    watch: {'r': 'open'}
    left: 1000
    watch: {'r': 'settled'}
    read r: settled, 0 left; {'timed_out': 1100}
    """)
def a_stop_ends_where_no_worker_lives(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", MANY), max_concurrency=1000))
    claimed = [story.ledger.claim("r", 0, worker="w", want=500, with_meta=False) for _ in range(2)]
    story.tell("running:", sum(len(one.steps) for one in claimed if one))
    story.client.delete(f"{story.root}worker:w")
    story.client.hset(f"{story.root}run:r", "deadline", 1)
    story.watch("r")
    story.tell("left:", story.ledger.read("r").left)
    story.bring_due("final")
    story.watch("r")
    story.outcomes_in_short("r")


@scenario("""
    unknown: r
    unknown: r
    """)
def reading_a_run_that_is_not_there_says_so(story: Story) -> None:
    for ask in (lambda: story.ledger.read("r"), lambda: story.ledger.cancel("r", "enough")):
        try:
            ask()
        except RunUnknown as error:
            story.tell("unknown:", error.run_id)


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0; more
    settle r:0 f1 ok: yes; publish r/0 to parallel
    open: False None 1 {"of": "r"} (b'{"status":"succeeded","value":1}', None)
    claim 1 of r/0 by w: 1 f2 #1 after 0
    settle r:1 f2 ok: yes; publish nothing
    settled: True True 0 b'' (b'{"status":"succeeded","value":1}',)
    """)
def a_run_is_read_with_its_times_and_plan(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 2)))
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    record = story.ledger.read("r")
    story.tell("open:", record.is_settled, record.settled_ms, record.left, record.meta.decode(), record.outcomes)
    (step,) = story.claim("r", 0)
    story.settle("r", 0, StepFate(step.index, step.fence, "S", "succeeded", OK))
    record = story.ledger.read("r", first=1)
    took_ms = (record.settled_ms or 0) - record.created_ms
    story.tell("settled:", record.is_settled, 0 < took_ms < 60_000, record.left, record.meta, record.outcomes)
