"""Random verbs in random order against the ledger; the model says what each must answer, the tables what may change."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from steps.ledger import Ledger
from steps.ledger.keys import key_root
from steps.ledger.records import Beat, Claimed, Ready, StepFate, Ticked
from tests.support.ledger_comparison import Comparison
from tests.support.ledger_model import MAX_DEATHS, NOT_STARTED, ModelRun, ModelSite, plan_of
from tests.support.ledgers import FAILED, OK

WORKERS = ("w1", "w2", "w3")
KEEPER = "w3"
MOST_OPEN_RUNS = 2
MOST_RUNS = 5
HOUR_US = 3_600_000_000
FAR_FUTURE_MS = 1 << 50

UNHURRIED = {"republish_s": 3600, "lane_hold_s": 1800}
"""Settings under which nothing falls due by itself: time passes where a rule says so, never by the clock."""

KEEPS_LANE_US, STEPS_OUT_US = "1000000000", "3000000000"

SHAPES = [
    [],
    ["a"],
    ["b"],
    ["a", "a", "a"],
    ["a", "b", "a"],
    ["a", "b", "a", "b"],
    ["b", "a"],
    ["a", "parallel", "parallel"],
    ["b", "a", "parallel"],
    ["a", "b", "parallel", "parallel"],
    ["a", "a", "parallel", "other", "other"],
    ["parallel"] * 5,
    ["parallel", "parallel", "other"],
]
BODIES = [None, None, None, "parallel", "a", "b"]

ENDINGS = ["ok", "ok", "failed", "retry", "park", "release", "stale"]
LANE_ENDINGS = [*ENDINGS, "settle_only", "settle_only", "long_retry"]

# Which events of the tables a verb may bring about, beside its own.
FOLLOWS = frozenset({"open", "offer"})
LANE_FOLLOWS = frozenset({"leave", "next", "next_early", "turn", "enter", "enter_early"})
ENDS = frozenset({"settle", "settle_only", "stop", "pass"})
FATE_EVENTS = {
    "retry": frozenset({"retry"}),
    "long_retry": frozenset({"retry"}),
    "park": frozenset({"park"}),
    "release": frozenset({"release", "publish"}),  # whoever runs others of its parcel claims it: no message is needed
    "stale": frozenset(),
}
TAKEN_BACK = frozenset({"reap", "reap_at_limit", "stop"})
GIVEN_UP = frozenset({"release", "reap", "stop"})
LANE_TAKEN_BACK = frozenset({"reap", "release", "vacate", "settle", "pass"})


class LedgerMachine(RuleBasedStateMachine):
    make_ledger: ClassVar[Any]  # () -> (Ledger, client); set by the test that runs the machine
    walked: ClassVar[set[tuple[str, str, str]]] = set()  # (step or lane, state, event) that were seen

    ledger: Ledger
    client: Any
    data: Any
    is_sound = False

    @initialize()
    def enter(self) -> None:
        self.ledger, self.client = type(self).make_ledger()
        self.root = key_root("stepline")
        self.site = ModelSite()
        self.messages: list[Ready] = []
        self.comparison = Comparison(self.site, self.client, self.root, self.walked)
        self.has_lost_messages = False
        for worker in WORKERS:
            self._join(worker)
        self.is_sound = True

    @contextmanager
    def _comparing(self, *, steps: frozenset[str], lanes: frozenset[str]) -> Iterator[None]:
        """Compare Redis with the model after the block; only these events of the tables may have come about."""
        yield
        self.comparison.check(steps=steps, lanes=lanes)

    def _join(self, worker: str) -> None:
        queue = "critical" if worker == "w1" else "parallel"
        self.ledger.tick(Beat(worker, "join", queue))
        self.site.join(worker)

    @property
    def runs(self) -> list[ModelRun]:
        return list(self.site.runs.values())

    # what may happen ----------------------------------------------------------------------------------------------

    @rule(data=st.data())
    def something_happens(self, data: Any) -> None:
        """One rule for all verbs, so that how often each comes is ours to say."""
        self.data = data
        weights = self._weights()
        verb = data.draw(
            st.sampled_from([verb for verb, weight in weights.items() for _ in range(weight)]), label="verb"
        )
        self.is_sound = False
        getattr(self, verb)()
        self.is_sound = True

    def _weights(self) -> dict[str, int]:
        """Return the verbs, each with its weight: 0 where it makes no sense now."""
        open_runs = [run for run in self.runs if run.phase == "open"]
        has_room = len(self.runs) < MOST_RUNS and len(open_runs) < MOST_OPEN_RUNS
        has_line = any(len(line) > 1 for line in self.site.lines.values())
        is_granted, is_running = bool(self._granted()), bool(self._in_state("running"))
        is_settled = bool(self._in_state("settled"))
        return {
            "open": 6 * has_room,
            "claim": bool(self.runs) + 2 * bool(open_runs),
            "claim_granted": 6 * is_granted,
            "trouble_thrice": is_granted,
            "settle": 10 * is_running,
            "vacate": 4 * is_settled,
            "trouble": 3 * (is_running or is_settled),
            "retries_fall_due": 3 * bool(self._in_state("delayed")),
            "stop": bool(open_runs) * (1 + 2 * has_line),
            "the_grace_ends": 3 * any(run.stop for run in open_runs),
            "tick": 1,
            "the_clock_is_set_back": 1,
            "the_site_comes_back_older": self.site.last_fence < self._now_us(),
        }

    def _draw(self, choices: Sequence[Any]) -> Any:
        choice = choices[self.data.draw(st.integers(0, len(choices) - 1))]
        note(f"    {choice!r}")
        return choice

    def open(self) -> None:
        kinds, body = self._draw(SHAPES), self._draw(BODIES)
        shape = {
            "max_concurrency": self._draw([1, 2, 3]),
            "critical_first": self._draw([True, True, False]),
            "stops_at_failure": self._draw([True, False]),
        }
        model, run = plan_of(f"r{len(self.runs)}", kinds, body, shape)
        with self._comparing(steps=FOLLOWS, lanes=LANE_FOLLOWS):
            self.messages += self.ledger.open(run).ready
            again = self.ledger.open(run)
            assert not again.created
            assert not again.ready
            self.site.open(model)

    def claim(self) -> None:
        """Claim what is to be refused, for whatever reason there is."""
        by_standing: dict[str, list[tuple[ModelRun, int]]] = {}
        for run, parcel in self._parcels():
            by_standing.setdefault(self.site.standing(run, parcel), []).append((run, parcel))
        if by_standing:
            run, parcel = self._draw(by_standing[self._draw(sorted(by_standing))])
            self._claim(run, parcel, self._draw([*WORKERS, "ghost"]), self._draw([0, 1, 2]))

    def claim_granted(self) -> None:
        self._claim(*self._draw(self._granted()), self._draw(WORKERS), self._draw([1, 2, 5]))

    def _parcels(self) -> list[tuple[ModelRun, int]]:
        return [(run, parcel) for run in self.runs for parcel in range(len(run.parcels))]

    def _granted(self) -> list[tuple[ModelRun, int]]:
        return [(run, parcel) for run, parcel in self._parcels() if self.site.standing(run, parcel) == "granted"]

    def _claim(self, run: ModelRun, parcel: int, worker: str, want: int) -> None:
        expected = self.site.grants(run, parcel, worker, want)
        with self._comparing(steps=frozenset({"claim", "publish"}), lanes=frozenset({"claim"})):
            claimed = self.ledger.claim(run.name, parcel, worker=worker, want=want, with_meta=True)
            assert claimed is not None
            self._note_claim(run, parcel, worker, claimed, expected)

    def _note_claim(self, run: ModelRun, parcel: int, worker: str, claimed: Claimed, expected: int) -> None:
        assert len(claimed.steps) == expected, (run, parcel, claimed)
        for step in claimed.steps:
            assert run.parcel_of(step.index) == parcel
            self.site.take(run, step.index, worker, step.fence)
            model = run.steps[step.index]
            assert (step.attempt, step.failures) == (model.starts, model.failures)
        span = run.parcels[parcel]
        open_steps = sum(step.state in NOT_STARTED for step in run.steps[span.first : span.last + 1])
        has_places = run.running < run.max_concurrency
        assert claimed.has_more == (not span.lane and expected > 0 and open_steps > 0 and has_places)

    def _in_state(self, state: str) -> list[tuple[ModelRun, int]]:
        return [(run, i) for run in self.runs for i, step in enumerate(run.steps) if step.state == state]

    def settle(self) -> None:
        run, index = self._draw(self._in_state("running"))
        step, parcel = run.steps[index], run.parcel_of(index)
        kind, want = self._draw(LANE_ENDINGS if step.critical else ENDINGS), self._draw([0, 1, 2])
        fate = self._fate(index, step.fence - 1 if kind == "stale" else step.fence, kind)
        goes_on = want > 0 and kind != "settle_only"
        own = FATE_EVENTS.get(kind, ENDS) | (ENDS if run.stop else frozenset())
        more = frozenset({"claim", "publish"} if goes_on else ())
        with self._comparing(steps=FOLLOWS | own | more, lanes=LANE_FOLLOWS | own | more):
            if goes_on:
                settled = self.ledger.settle_and_claim_next(run.name, parcel, [fate], worker=step.worker, want=want)
            else:
                is_vacated = kind != "settle_only"
                settled = self.ledger.settle(run.name, parcel, [fate], worker=step.worker, vacated=is_vacated)
            assert settled.accepted == (kind != "stale",)
            self.messages += settled.ready
            if kind != "stale":
                self.site.settle(run, index, kind)
            if goes_on:
                is_refused = kind == "stale" and step.critical
                expected = 0 if is_refused else self.site.grants(run, parcel, step.worker, want)
                self._note_claim(run, parcel, step.worker, settled.next, expected)

    @staticmethod
    def _fate(index: int, fence: int, kind: str) -> StepFate:
        match kind:
            case "retry" | "long_retry":
                return StepFate(index, fence, "R", KEEPS_LANE_US if kind == "retry" else STEPS_OUT_US)
            case "park":
                return StepFate(index, fence, "P", KEEPS_LANE_US)
            case "release":
                return StepFate(index, fence, "B")
            case "failed":
                return StepFate(index, fence, "S", "failed", FAILED)
        return StepFate(index, fence, "S", "succeeded", OK)

    def vacate(self) -> None:
        run, index = self._draw(self._in_state("settled"))
        step = run.steps[index]
        with self._comparing(steps=FOLLOWS | {"vacate"}, lanes=LANE_FOLLOWS | {"vacate", "pass"}):
            assert not self.ledger.vacate(run.name, index, step.fence - 1).accepted[0]
            settles_in_vain = self._draw([True, False])
            if settles_in_vain:  # by which its code is known to have stopped
                fate = StepFate(index, step.fence, "S", "succeeded", OK)
                answer = self.ledger.settle(run.name, run.parcel_of(index), [fate], worker=step.worker)
            else:
                answer = self.ledger.vacate(run.name, index, step.fence)
            assert answer.accepted == (not settles_in_vain,)
            self.messages += answer.ready
            self.site.vacate(run, index)

    def tick(self) -> None:
        marks = tuple((message.run_id, message.parcel) for message in self.messages)
        with self._comparing(steps=frozenset({"publish"}), lanes=frozenset()):
            assert not self._beat(self._draw(WORKERS), marks).ready

    def _beat(self, worker: str, marks: tuple[tuple[str, int], ...] = ()) -> Ticked:
        held = tuple(f"{name}:{index}" for name, index in self.site.claims[worker])
        ticked = self._tick(Beat(worker, "beat", held=held, published=marks))
        assert ticked.standing == "alive"
        assert list(ticked.stops) == self.site.asked[worker]
        self.site.asked[worker] = []
        return ticked

    def _tick(self, beat: Beat) -> Ticked:
        ticked = self.ledger.tick(beat)
        self.messages += ticked.ready
        assert not ticked.unfinished
        return ticked

    def retries_fall_due(self) -> None:
        with self._comparing(steps=FOLLOWS | {"due"}, lanes=LANE_FOLLOWS | {"due"}):
            self._bring_due("retry:")
            self._tick(Beat())
            self.site.due()

    def _bring_due(self, *kinds: str) -> None:
        due = f"{self.root}due"
        if members := [one for one in self.client.zrange(due, 0, -1) if one.decode().startswith(kinds)]:
            self.client.zadd(due, dict.fromkeys(members, 0))

    def stop(self) -> None:
        run = self._draw([run for run in self.runs if run.phase == "open"])
        how = self._draw(["cancel", "deadline", "watched deadline"])
        with self._comparing(steps=FOLLOWS | {"stop"}, lanes=LANE_FOLLOWS):
            if how == "cancel":
                self.messages += self.ledger.cancel(run.name, "enough")
            elif how == "deadline":
                self._bring_due(f"deadline:{run.name}")
                self._tick(Beat())
            else:
                self.client.hset(f"{self.root}run:{run.name}", "deadline", 1)
                self.ledger.watch("", [run.name])
                self.has_lost_messages = True  # watch does not say what became ready
            self.site.stop(run, "cancelled" if how == "cancel" else "timed_out")
            self.client.zadd(f"{self.root}due", {f"final:{run.name}": FAR_FUTURE_MS}, xx=True)

    def the_grace_ends(self) -> None:
        run = self._draw([run for run in self.runs if run.stop and run.phase == "open"])
        with self._comparing(steps=FOLLOWS | {"stop"}, lanes=LANE_FOLLOWS | {"settle_only"}):
            self._bring_due(f"final:{run.name}")
            self._tick(Beat())
            self.site.end_grace(run)

    # workers end --------------------------------------------------------------------------------------------------

    def trouble(self) -> None:
        """A worker that holds something dies, leaves, or loses a child."""
        worker = self._draw([worker for worker in WORKERS if self.site.claims[worker]])
        self._draw([self.die_and_come_back, self.leave_and_come_back, self.a_child_dies])(worker)

    def die_and_come_back(self, worker: str) -> None:
        beats = self._beat(worker).beats
        with self._comparing(steps=FOLLOWS | TAKEN_BACK, lanes=LANE_FOLLOWS | LANE_TAKEN_BACK):
            self._tick(Beat(reap=((worker, beats[worker] - 1),)))
            assert self.client.exists(f"{self.root}worker:{worker}")
            self._tick(Beat(reap=((worker, beats[worker]),)))
            assert self.ledger.tick(Beat(worker, "beat")).standing == "dead"
            self.site.take_back_all(worker)
        self._join(worker)

    def leave_and_come_back(self, worker: str) -> None:
        with self._comparing(steps=FOLLOWS | GIVEN_UP, lanes=LANE_FOLLOWS | LANE_TAKEN_BACK):
            assert self._tick(Beat(worker, "leave")).standing == "left"
            self.site.take_back_all(worker, announced=True)
        self._join(worker)

    def a_child_dies(self, worker: str) -> None:
        name, index = self._draw(list(self.site.claims[worker]))
        fence = self.site.claims[worker][name, index]
        with self._comparing(steps=FOLLOWS | TAKEN_BACK, lanes=LANE_FOLLOWS | LANE_TAKEN_BACK):
            self._tick(Beat(worker, "none", dead_claims=((f"{name}:{index}", fence),)))
            self.site.take_back(worker, (name, index))

    def trouble_thrice(self) -> None:
        """Whoever runs a certain step dies, or leaves, again and again: the third death is the limit."""
        run, parcel = self._draw(self._granted())
        end = self._draw([self.die_and_come_back, self.leave_and_come_back])
        for _ in range(MAX_DEATHS):
            self._claim(run, parcel, "w1", 1)
            end("w1")

    def the_clock_is_set_back(self) -> None:
        self.site.last_fence = max(self.site.last_fence, self._now_us()) + HOUR_US
        self.client.hset(f"{self.root}site", "fence", self.site.last_fence)

    def the_site_comes_back_older(self) -> None:
        self.client.hdel(f"{self.root}site", "fence")

    @staticmethod
    def _now_us() -> int:
        return time.time_ns() // 1000

    # the end ------------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Whatever happened, honest workers that only follow messages bring every run to its end, none sent twice."""
        if not self.is_sound:  # the failure that is there already is the one to be told
            return
        for run, index in self._in_state("settled"):
            self.messages += self.ledger.vacate(run.name, index, run.steps[index].fence).ready
        for run, index in self._in_state("running"):
            fate = self._fate(index, run.steps[index].fence, "ok")
            worker = run.steps[index].worker
            self.messages += self.ledger.settle(run.name, run.parcel_of(index), [fate], worker=worker).ready
        self._work_off_messages()
        self._bring_due("retry:")
        self._tick(Beat())
        self._work_off_messages()
        if self.has_lost_messages:
            self._follow_keepers()
        assert not [
            run.name for run in self.runs if self.client.hget(f"{self.root}run:{run.name}", "state") != b"closed"
        ]
        self._nothing_is_left_over()

    def _follow_keepers(self) -> None:
        for _ in self.runs * 4:
            self._bring_due("check:")
            ticked = self._tick(Beat())
            self.messages += ticked.maybe_lost
            self._work_off_messages()

    def _work_off_messages(self) -> None:
        while self.messages:
            message = self.messages.pop(0)
            claimed = self.ledger.claim(message.run_id, message.parcel, worker=KEEPER, want=3, with_meta=False)
            assert claimed is not None
            while claimed.steps:
                fates = [self._fate(step.index, step.fence, "ok") for step in claimed.steps]
                settled = self.ledger.settle_and_claim_next(
                    message.run_id, message.parcel, fates, worker=KEEPER, want=len(fates)
                )
                assert all(settled.accepted)
                self.messages += settled.ready
                claimed = settled.next

    def _nothing_is_left_over(self) -> None:
        self._bring_due("check:", "retry:", "sweep:")
        for worker in WORKERS:  # the first brings what is due to its end, each hears what it was asked to stop
            self._beat(worker)
        keys = {key.decode().removeprefix(self.root) for key in self.client.keys(f"{self.root}*")}
        gone = ("due", "lanes", "lane:", "claims:", "stops:")
        assert not {key for key in keys if key.startswith(gone)}, keys
        assert set(self.client.hvals(f"{self.root}pending")) <= {b"0"}
        for run in self.runs:
            assert self.client.ttl(f"{self.root}run:{run.name}") > 0
            assert self.client.ttl(f"{self.root}events:{run.name}") > 0
