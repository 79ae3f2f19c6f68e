"""Who may run what, and when: wants, places, gates, deadlines."""

from tests.support.ledger_story import Story, give_back, ok, run_of, scenario


@scenario("""
    open r: new; publish r/0 to parallel
    claim 2 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0; more
    claim 5 of r/0 by v: 2 f3 #1 after 0
    claim 1 of r/0 by w: nothing
    settle r:0 f1 ok, r:1 f2 ok and claim 2: yes, yes; publish nothing; next 3 f4 #1 after 0, 4 f5 #1 after 0
    settle r:3 f4 give back, r:4 f5 ok: yes, yes; publish nothing
    claim 10 of r/0 by w: 3 f6 #2 after 0, 5 f7 #1 after 0
    claim 10 of r/0 by w: nothing
    r:0 is vacated #1, died 0, failed 0
    r:1 is vacated #1, died 0, failed 0
    r:2 is running #1, died 0, failed 0
    r:3 is running #2, died 0, failed 0
    r:4 is vacated #1, died 0, failed 0
    r:5 is running #1, died 0, failed 0
    """)
def a_run_has_no_more_steps_running_than_it_may(story: Story) -> None:
    story.join("w", "v", queue="parallel")
    story.open(run_of("r", ("parallel", "", 6), max_concurrency=3))
    first, second = story.claim("r", 0, want=2)
    story.claim("r", 0, want=5, worker="v")
    story.claim("r", 0, want=1)
    third, fourth = story.go_on("r", 0, ok(first), ok(second), want=2)
    story.settle("r", 0, give_back(third), ok(fourth))
    story.claim("r", 0, want=10)
    story.claim("r", 0, want=10)
    story.states("r")


@scenario("""
    open r: new; publish r/0 to parallel
    claim 0 of r/0 by w: nothing
    claim 1 of r/7 by w: nothing
    claim 1 of q/0 by w: gone
    """)
def wanting_nothing_gets_nothing(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1)))
    story.claim("r", 0, want=0)
    story.claim("r", 7)
    story.claim("q", 0)


@scenario("""
    open r: new; publish r/0 to critical
    claim 1 of r/1 by p1: nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    settle r:0 f1 ok and claim 1: yes; publish nothing; next 1 f2 #1 after 0
    claim 1 of r/1 by p1: nothing
    settle r:1 f2 ok and claim 1: yes; publish r/1 to parallel; next nothing
    claim 2 of r/1 by p1: 2 f3 #1 after 0, 3 f4 #1 after 0; more
    """)
def parallel_steps_wait_behind_the_gate(story: Story) -> None:
    story.join("w")
    story.join("p1", "p2", "p3", queue="parallel")
    story.open(run_of("r", ("critical", "a", 2), ("parallel", "", 25)))
    story.claim("r", 1, worker="p1")
    (first,) = story.claim("r", 0)
    (second,) = story.go_on("r", 0, ok(first))
    story.claim("r", 1, worker="p1")
    story.go_on("r", 0, ok(second))
    story.claim("r", 1, worker="p1", want=2)


@scenario("""
    open r: new; publish r/0 to critical, r/1 to parallel
    claim 2 of r/1 by p: 1 f1 #1 after 0, 2 f2 #1 after 0
    claim 1 of r/0 by w: 0 f3 #1 after 0
    """)
def with_order_overlap_nothing_waits_behind_the_gate(story: Story) -> None:
    story.join("w")
    story.join("p", queue="parallel")
    story.open(run_of("r", ("critical", "a", 1), ("parallel", "", 2), critical_first=False))
    story.claim("r", 1, worker="p", want=2)
    story.claim("r", 0)


@scenario("""
    open r: new; publish r/0 to critical, r/1 to parallel
    claim 1 of r/0 by never joined: nothing
    tick none: none; publish nothing
    claim 1 of r/0 by w: nothing
    claim 1 of r/1 by w: nothing
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of r/1 by w: 1 f2 #1 after 0
    """)
def only_live_workers_are_granted_anything(story: Story) -> None:
    story.open(run_of("r", ("critical", "a", 1), ("parallel", "", 1), critical_first=False))
    story.claim("r", 0, worker="never joined")
    story.join("w")
    story.reap("w")
    story.claim("r", 0)
    story.claim("r", 1)
    story.join("w")
    story.claim("r", 0)
    story.claim("r", 1)


@scenario("""
    open r: new; publish r/0 to parallel
    claim 1 of r/0 by w: 0 f1 #1 after 0; more
    claim 1 of r/0 by w: nothing
    settle r:0 f1 ok and claim 1: yes; publish r/0 to parallel; next nothing
    """)
def nothing_is_granted_after_the_deadline(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 2)))
    (step,) = story.claim("r", 0)
    story.client.hset(f"{story.root}run:r", "deadline", 1)
    story.claim("r", 0)
    story.go_on("r", 0, ok(step))


@scenario("""
    open r: new; publish r/0 to parallel
    of the plan: {"of": "r"} of the step: {"id":"s0"}
    stamped now: True time left: True
    queued: True settled by now: 0
    settled by now: 1 the plan only once: b''
    """)
def a_claim_tells_what_an_attempt_must_know(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 2), deadline_s=50))
    claimed = story.ledger.claim("r", 0, worker="w", want=1, with_meta=True)
    assert claimed is not None
    assert claimed.remaining_s is not None
    now_s = float(".".join(f"{part:06}" for part in story.client.time()))
    story.tell("of the plan:", claimed.meta.decode(), "of the step:", claimed.steps[0].call.decode())
    story.tell("stamped now:", abs(now_s - claimed.now_ms / 1000) < 10, "time left:", 40 < claimed.remaining_s <= 50)
    story.tell("queued:", 0 <= claimed.steps[0].queued_ms < 10_000, "settled by now:", claimed.settled_count)
    settled = story.ledger.settle_and_claim_next("r", 0, [ok(claimed.steps[0])], worker="w", want=1)
    story.tell("settled by now:", settled.next.settled_count, "the plan only once:", settled.next.meta)


@scenario("""
    open r: new; publish r/0 to parallel, r/1 to other
    claim 1 of r/0 by w: 0 f1 #1 after 0
    claim 1 of r/1 by w: nothing
    settle r:0 f1 ok and claim 1: yes; publish r/1 to other; next nothing
    claim 1 of r/1 by w: 1 f2 #1 after 0
    settle r:1 f2 ok and claim 1: yes; publish nothing; next 2 f3 #1 after 0
    """)
def parcels_of_another_queue_go_on_when_the_first_has_left_its_places(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 1), ("other", "", 2), max_concurrency=1))
    (step,) = story.claim("r", 0)
    story.claim("r", 1)
    story.go_on("r", 0, ok(step))
    (step,) = story.claim("r", 1)
    story.go_on("r", 1, ok(step))


@scenario("""
    open r: new; publish r/0 to parallel
    claim 2 of r/0 by w: 0 f1 #1 after 0, 1 f2 #1 after 0; more
    claim 2 of r/0 by w: 2 f3 #1 after 0, 3 f4 #1 after 0; more
    the clock was set back by an hour: [1, 2]
    claim 2 of r/0 by w: 4 f5 #1 after 0, 5 f6 #1 after 0; more
    the site came back older: True from its clock: 1
    claim 2 of r/0 by w: 6 f7 #1 after 0, 7 f8 #1 after 0; more
    the site came back empty: True none repeats: 8
    """)
def fences_only_grow_whatever_happens_to_clock_and_site(story: Story) -> None:
    story.join("w")
    story.open(run_of("r", ("parallel", "", 9), max_concurrency=9))
    fences = []

    def claim_two() -> None:
        fences.extend(step.fence for step in story.claim("r", 0, want=2))

    claim_two()
    ahead = fences[-1] + 3_600 * 1_000_000
    story.client.hset(f"{story.root}site", "fence", ahead)
    claim_two()
    story.tell("the clock was set back by an hour:", [fence - ahead for fence in fences[2:]])
    story.client.hset(f"{story.root}site", "fence", 5)
    older = fences[1]
    claim_two()
    story.tell("the site came back older:", fences[4] > older, "from its clock:", fences[5] - fences[4])
    story.client.delete(f"{story.root}site")
    claim_two()
    story.tell("the site came back empty:", fences[6] > fences[5], "none repeats:", len(set(fences)))
