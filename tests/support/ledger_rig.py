"""What the machine of the ledger's model works with: a ledger, the model beside it, and the calls that both take."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from steps.ledger import Ledger
from steps.ledger.keys import key_root
from steps.ledger.records import Beat, Claimed, Ready, StepFate, Ticked
from tests.support.ledger_comparison import Comparison
from tests.support.ledger_model import ModelSite
from tests.support.ledger_model_run import ModelRun
from tests.support.ledgers import FAILED, OK

WORKERS = ("w1", "w2", "w3")

UNHURRIED = {"republish_s": 3600, "lane_hold_s": 1800}
"""Settings under which nothing falls due by itself: time passes where a verb says so, never by the clock."""

KEEPS_LANE_US, STEPS_OUT_US = "1000000000", "3000000000"

# Which events of the tables may follow from any verb, in other steps than its own and in lanes.
FOLLOWS = frozenset({"open", "offer"})
LANE_FOLLOWS = frozenset({"leave", "next", "next_early", "turn", "enter", "enter_early"})

# What a place that is free brings about, in those that were in line for one.
LET_IN = frozenset({"due"})


class LedgerRig(RuleBasedStateMachine):
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
        let_in = LET_IN if any(self.site.waiting.values()) else frozenset()
        yield
        self.comparison.check(steps=steps | let_in, lanes=lanes | let_in)

    def _join(self, worker: str) -> None:
        queue = "critical" if worker == "w1" else "parallel"
        self.ledger.tick(Beat(worker, "join", queue))
        self.site.join(worker)

    @property
    def runs(self) -> list[ModelRun]:
        return list(self.site.runs.values())

    def _draw(self, choices: Sequence[Any]) -> Any:
        choice = choices[self.data.draw(st.integers(0, len(choices) - 1))]
        note(f"    {choice!r}")
        return choice

    def _in_state(self, state: str) -> list[tuple[ModelRun, int]]:
        return [(run, i) for run in self.runs for i, step in enumerate(run.steps) if step.state == state]

    def _parcels(self) -> list[tuple[ModelRun, int]]:
        return [(run, parcel) for run in self.runs for parcel in range(len(run.parcels))]

    def _granted(self) -> list[tuple[ModelRun, int]]:
        return [(run, parcel) for run, parcel in self._parcels() if self.site.standing(run, parcel) == "granted"]

    def _claim(self, run: ModelRun, parcel: int, worker: str, want: int) -> None:
        expected = self.site.claim(run, parcel, worker, want)
        events = frozenset({"claim", "hold_back"})
        with self._comparing(steps=events | {"publish"}, lanes=events):
            claimed = self.ledger.claim(run.name, parcel, worker=worker, want=want, with_meta=True)
            assert claimed is not None
            self._note_claim(run, parcel, worker, claimed, expected)

    def _note_claim(self, run: ModelRun, parcel: int, worker: str, claimed: Claimed, expected: list[int]) -> None:
        assert [step.index for step in claimed.steps] == expected, (run, parcel, claimed)
        for step in claimed.steps:
            assert run.parcel_of(step.index) == parcel
            self.site.take(run, step.index, worker, step.fence)
            model = run.steps[step.index]
            seen = (step.attempt, step.failures, step.is_suspect)
            assert seen == (model.starts, model.failures, model.is_suspect)
        span = run.parcels[parcel]
        has_places = run.running < run.max_concurrency and run.claimable(parcel) > 0
        assert claimed.has_more == (not span.lane and expected != [] and has_places)

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

    def _beat(
        self, worker: str, marks: tuple[tuple[str, int], ...] = (), *, unknown: tuple[str, int] | None = None
    ) -> Ticked:
        held = tuple(f"{name}:{index}" for name, index in self.site.claims[worker] if (name, index) != unknown)
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

    def _bring_due(self, *kinds: str) -> None:
        due = f"{self.root}due"
        if members := [one for one in self.client.zrange(due, 0, -1) if one.decode().startswith(kinds)]:
            self.client.zadd(due, dict.fromkeys(members, 0))
