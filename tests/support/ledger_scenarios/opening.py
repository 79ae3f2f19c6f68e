"""How runs are opened: once, whole or not at all, small and large."""

from tests.support.ledger_story import Story, ok, run_of, scenario

MANY = 1201
"""More than two slices of fields, and more steps than one call may end."""


@scenario("""
    open r: new; publish r/0 to critical
    open r: there; publish nothing
    open r: there; publish nothing
    lane a: r (held by r)
    lane b: r (held by nobody)
    pending: {'critical': 3, 'parallel': 3}
    event of r: run.started
    read r: open, 6 left; - - - - - -
    """)
def opening_again_changes_nothing(story: Story) -> None:
    run = run_of("r", ("critical", "a", 2), ("critical", "b", 1), ("parallel", "", 3))
    story.open(run, inbox="me")
    story.open(run, inbox="me")
    story.open(run_of("r", ("parallel", "", 1)))
    story.line("a", "b")
    story.pending()
    story.events("r")
    story.outcomes("r")


@scenario(
    """
    open r: new; publish r/0 to parallel
    open q: QueueFull ('parallel', 3, 3)
    new keys: []
    pending: {'parallel': 3}
    claim 1 of r/0 by w: 0 f1 #1 after 0; more
    settle r:0 f1 ok: yes; publish r/0 to parallel
    open q: new; publish q/0 to critical
    """,
    queue_limit=3,
)
def a_full_queue_refuses_a_run_whole(story: Story) -> None:
    story.open(run_of("r", ("parallel", "", 3)))
    before = set(story.client.keys("*"))
    story.open(run_of("q", ("critical", "a", 1), ("parallel", "", 1)))
    story.tell("new keys:", sorted(set(story.client.keys("*")) - before))
    story.pending()
    story.join("w")
    (step,) = story.claim("r", 0)
    story.settle("r", 0, ok(step))
    story.open(run_of("q", ("critical", "a", 1), ("parallel", "", 1)))


@scenario("""
    open r: new; publish nothing
    notice to me: r;
    read r: settled, 0 left;
    event of r: run.started
    event of r: run.completed
    r expires: {'run': True, 'events': True}
    left over: nothing
    """)
def an_empty_run_settles_at_once(story: Story) -> None:
    story.open(run_of("r"), inbox="me")
    story.notices("me")
    story.outcomes("r")
    story.events("r")
    story.expiry("r")
    story.left_over()


@scenario("""
    open r: new; publish r/0 to parallel
    open r: there; publish nothing
    pending: {'parallel': 1201}
    claimed at most a slice: 500 True {"of": "r"}
    in order, with their calls: {"id":"s0"} {"id":"s499"}
    read in pages of: [500, 500, 201, 0]
    """)
def a_run_of_more_steps_than_one_call_may_take_is_staged(story: Story) -> None:
    story.join("w", queue="parallel")
    run = run_of("r", ("parallel", "", MANY), max_concurrency=1000)
    story.open(run)
    story.open(run)
    story.pending()
    claimed = story.ledger.claim("r", 0, worker="w", want=1000, with_meta=True)
    assert claimed is not None
    story.tell("claimed at most a slice:", len(claimed.steps), claimed.has_more, claimed.meta.decode())
    story.tell("in order, with their calls:", claimed.steps[0].call.decode(), claimed.steps[-1].call.decode())
    pages = [len(story.ledger.read("r", first=first).outcomes) for first in (0, 500, 1000, 1500)]
    story.tell("read in pages of:", pages)


@scenario("""
    staged: 3 True
    watch: {'r': 'gone'}
    open r: new; publish r/0 to parallel
    kept for good once opened: -1
    staging no longer reaches it: {"id":"s0"}
    """)
def what_was_staged_and_never_opened_is_forgotten(story: Story) -> None:
    fields = [part for index in range(3) for part in (f"d{index}", "{}")]
    story.ledger._run("stage", "r", 600, *fields)
    story.tell("staged:", story.client.hlen(f"{story.root}run:r"), 590 < story.client.ttl(f"{story.root}run:r") <= 600)
    story.watch("r")
    story.open(run_of("r", ("parallel", "", 3)))
    story.tell("kept for good once opened:", story.client.ttl(f"{story.root}run:r"))
    story.ledger._run("stage", "r", 600, "d0", "changed")
    story.tell("staging no longer reaches it:", story.client.hget(f"{story.root}run:r", "d0").decode())


@scenario(
    """
    open r: new; publish r/0 to critical
    open q: QueueFull ('parallel', 5000, 10000)
    cancel r: publish nothing
    left: 0 settled: True
    the last ones: {'{"status":"cancelled",'}
    pending: {'critical': 0, 'parallel': 0}
    lane a: empty (held by nobody)
    notice to me: r; no outcomes
    left over: nothing
    """,
    queue_limit=10_000,
)
def ten_thousand_steps_are_opened_read_and_cancelled(story: Story) -> None:
    run = run_of("r", ("critical", "a", 5_000), ("parallel", "", 5_000))
    story.open(run, inbox="me")
    story.open(run_of("q", ("parallel", "", 5_001)))
    story.cancel("r")
    record = story.ledger.read("r", first=9_500)
    story.tell("left:", record.left, "settled:", record.is_settled)
    story.tell("the last ones:", {outcome and outcome[:22].decode() for outcome in record.outcomes})
    story.pending()
    story.line("a")
    story.notices("me")
    story.left_over()


@scenario("""
    open r: new; publish r/0 to critical
    lane lane 0: r (held by r)
    lane lane 4499: r (held by nobody)
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok and claim 1: yes; publish r/1 to critical; next nothing
    cancel r: publish nothing
    left over: nothing
    """)
def a_run_may_have_thousands_of_lanes(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", *(("critical", f"lane {number}", 1) for number in range(4_500))))
    story.line("lane 0", "lane 4499")
    (step,) = story.claim("r", 0)
    story.go_on("r", 0, ok(step))
    story.cancel("r")
    story.left_over()
