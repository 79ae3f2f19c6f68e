"""A model of runs, steps and lanes after the tables of steps.ledger.states, to which a machine holds the scripts."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from steps.ledger import Ledger
from steps.ledger.keys import key_root
from steps.ledger.records import Beat, Claimed, NewRun, ParcelRange, Ready, StepFate
from steps.ledger.states import after
from tests.support.ledgers import FAILED, OK

LANES = ("a", "b")
WORKERS = ("w1", "w2", "w3")
NOT_STARTED = frozenset({"waiting", "ready", "published"})
MAX_DEATHS = 3


@dataclass
class ModelStep:
    critical: bool
    state: str = "waiting"
    status: str | None = None
    fence: int = 0
    worker: str = ""
    parcel: int = 0
    deaths: int = 0
    starts: int = 0
    settled_by_stop: bool = False


@dataclass
class ModelRun:
    name: str
    steps: list[ModelStep]
    parcels: list[ParcelRange]
    critical_parcels: int
    max_concurrency: int
    critical_first: bool
    stops_at_failure: bool
    stopped: bool = False
    skipping_from: int | None = None
    fixed: dict[int, bytes] = field(default_factory=dict)

    @property
    def critical_left(self) -> int:
        return sum(step.critical and step.status is None for step in self.steps)

    @property
    def left(self) -> int:
        return sum(step.status is None for step in self.steps)

    @property
    def running(self) -> int:
        return sum(step.state == "running" and not step.critical for step in self.steps)

    def holding(self) -> int | None:
        """The critical step that was claimed and has not vacated."""
        return next((i for i, s in enumerate(self.steps) if s.critical and s.state in {"running", "settled"}), None)

    def current(self) -> int | None:
        """The critical step whose turn it is."""
        return next((i for i, step in enumerate(self.steps) if step.critical and step.status is None), None)

    def parcel_of(self, index: int) -> int:
        return next(k for k, p in enumerate(self.parcels) if p.first <= index <= p.last)

    def lanes_ahead(self) -> set[str]:
        """Where the run stands in line: the lanes of its parcels that are not done with."""
        holding, current = self.holding(), self.current()
        first = holding if holding is not None else current
        if first is None or (self.critical_left == 0 and holding is None):
            return set()
        return {p.lane for p in self.parcels[self.parcel_of(first) : self.critical_parcels]}


def plan_of(name: str, kinds: list[str], shape: dict[str, Any]) -> tuple[ModelRun, NewRun]:
    """Build the same run for the model and for the ledger; kinds are lanes for critical steps, '' for parallel ones."""
    critical = [kind for kind in kinds if kind]
    parcels: list[ParcelRange] = []
    for index, lane in enumerate(critical):
        if parcels and parcels[-1].lane == lane:
            parcels[-1] = ParcelRange("critical", lane, parcels[-1].first, index)
        else:
            parcels.append(ParcelRange("critical", lane, index, index))
    critical_parcels = len(parcels)
    if len(critical) < len(kinds):
        parcels.append(ParcelRange("parallel", "", len(critical), len(kinds) - 1))
    steps = [ModelStep(critical=index < len(critical)) for index in range(len(kinds))]
    model = ModelRun(name, steps, parcels, critical_parcels, **shape)
    calls = tuple(f'{{"id":"s{index}"}}' for index in range(len(kinds)))
    run = NewRun(
        run_id=name,
        meta="{}",
        calls=calls,
        parcels=tuple(parcels),
        critical_count=len(critical),
        critical_parcels=critical_parcels,
        deadline_s=3600,
        **shape,
    )
    return model, run


class LedgerMachine(RuleBasedStateMachine):
    """Random verbs in random order against the ledger; the model says what each must answer."""

    make_ledger: ClassVar[Any]  # () -> (Ledger, client); set by the test that runs the machine

    ledger: Ledger
    client: Any

    @initialize()
    def enter(self) -> None:
        self.ledger, self.client = type(self).make_ledger()
        self.root = key_root("stepline")
        self.runs: dict[str, ModelRun] = {}
        self.line: dict[str, list[str]] = {lane: [] for lane in LANES}
        self.alive: set[str] = set()
        self.messages: list[Ready] = []
        self.beats: dict[str, int] = {}
        for worker in WORKERS:
            self._join(worker)

    def _join(self, worker: str) -> None:
        self.ledger.tick(Beat(worker, "join", "critical" if worker == "w1" else "parallel"))
        self.alive.add(worker)

    # what may happen ----------------------------------------------------------------------------------------------

    @rule(
        kinds=st.lists(st.sampled_from(["a", "a", "b", "", ""]), max_size=7),
        max_concurrency=st.integers(1, 4),
        critical_first=st.booleans(),
        stops_at_failure=st.booleans(),
    )
    def open(self, kinds: list[str], **shape: Any) -> None:
        name = f"r{len(self.runs)}"
        model, run = plan_of(name, sorted(kinds, key=lambda kind: kind == ""), shape)
        self.messages += self.ledger.open(run).ready
        again = self.ledger.open(run)
        assert not again.created and not again.ready
        self.runs[name] = model
        for lane in model.lanes_ahead():
            self.line[lane].append(name)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), worker=st.sampled_from(WORKERS), want=st.integers(1, 5))
    def claim(self, data: Any, worker: str, want: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.runs)))
        if not self.runs[name].parcels:
            return
        parcel = data.draw(st.integers(0, len(self.runs[name].parcels) - 1))
        claimed = self.ledger.claim(name, parcel, worker=worker, want=want, with_meta=True)
        assert claimed is not None
        self._note_claim(name, parcel, worker, want, claimed)

    def _note_claim(self, name: str, parcel: int, worker: str, want: int, claimed: Claimed) -> None:
        run = self.runs[name]
        expected = self._claimable(run, parcel, want) if worker in self.alive else 0
        assert len(claimed.steps) == expected, (name, parcel, claimed)
        for step in claimed.steps:
            model = run.steps[step.index]
            assert model.state in NOT_STARTED, model
            assert run.parcel_of(step.index) == parcel
            model.state = after("published", "claim")
            assert step.fence > max(s.fence for r in self.runs.values() for s in r.steps)
            model.fence, model.worker, model.parcel = step.fence, worker, parcel
            model.starts += 1
            assert step.attempt == model.starts

    def _claimable(self, run: ModelRun, parcel: int, want: int) -> int:
        span = run.parcels[parcel]
        if run.stopped:
            return 0
        if span.lane:
            current = run.current()
            is_turn = current is not None and span.first <= current <= span.last and run.holding() is None
            return int(is_turn and self.line[span.lane][0] == run.name and run.steps[current].state != "delayed")  # type: ignore[index]
        if run.critical_first and run.critical_left:
            return 0
        open_steps = sum(step.state in NOT_STARTED for step in run.steps[span.first : span.last + 1])
        return max(0, min(want, open_steps, run.max_concurrency - run.running))

    def _running(self) -> list[tuple[str, int]]:
        return [(n, i) for n, r in self.runs.items() for i, s in enumerate(r.steps) if s.state == "running"]

    @precondition(lambda self: self._running())
    @rule(
        data=st.data(),
        kind=st.sampled_from(["ok", "ok", "failed", "retry", "release", "settle_only", "stale"]),
        want=st.integers(0, 4),
    )
    def settle(self, data: Any, kind: str, want: int) -> None:
        name, index = data.draw(st.sampled_from(self._running()))
        run, step = self.runs[name], self.runs[name].steps[index]
        fence = step.fence - 1 if kind == "stale" else step.fence
        fate = {
            "retry": StepFate(index, fence, "R", "0"),
            "release": StepFate(index, fence, "B"),
            "failed": StepFate(index, fence, "S", "failed", FAILED),
        }.get(kind, StepFate(index, fence, "S", "succeeded", OK))
        if want and kind != "settle_only":
            settled = self.ledger.settle_and_claim_next(name, step.parcel, [fate], worker=step.worker, want=want)
        else:
            settled = self.ledger.settle(name, step.parcel, [fate], worker=step.worker, vacated=kind != "settle_only")
        assert settled.accepted == (kind != "stale",)
        self.messages += settled.ready
        if kind != "stale":
            self._note_fate(run, index, kind)
        if want and kind != "settle_only":
            refused = kind == "stale" and step.critical
            self._note_claim(name, step.parcel, step.worker, 0 if refused else want, settled.next)

    def _note_fate(self, run: ModelRun, index: int, kind: str) -> None:
        step = run.steps[index]
        if run.stopped and kind in {"retry", "release"}:
            step.state, step.status = after(step.state, "settle"), "cancelled"
        elif kind in {"retry", "release"}:
            step.state = after(step.state, kind)
        else:
            step.state = after(step.state, kind if kind == "settle_only" and step.critical else "settle")
            step.status = "failed" if kind == "failed" else "succeeded"
        self._follow(run, index)

    def _follow(self, run: ModelRun, index: int) -> None:
        step = run.steps[index]
        if step.critical and run.stops_at_failure and step.status not in {None, "succeeded"} and not run.stopped:
            for later in run.steps[index + 1 :]:
                if later.critical and later.status is None:
                    later.state, later.status = "vacated", "skipped"
        self._tidy_lanes(run)

    def _tidy_lanes(self, run: ModelRun) -> None:
        ahead = run.lanes_ahead()
        for lane, line in self.line.items():
            if run.name in line and lane not in ahead:
                line.remove(run.name)

    @precondition(lambda self: self._draining())
    @rule(data=st.data())
    def vacate(self, data: Any) -> None:
        name, index = data.draw(st.sampled_from(self._draining()))
        step = self.runs[name].steps[index]
        assert not self.ledger.vacate(name, index, step.fence - 1).accepted[0]
        settled = self.ledger.vacate(name, index, step.fence)
        assert settled.accepted == (True,)
        self.messages += settled.ready
        step.state = after(step.state, "vacate")
        self._tidy_lanes(self.runs[name])

    def _draining(self) -> list[tuple[str, int]]:
        return [
            (n, i) for n, r in self.runs.items() for i, s in enumerate(r.steps) if s.critical and s.state == "settled"
        ]

    @rule()
    def tick(self) -> None:
        ticked = self.ledger.tick(Beat("w3", "beat"))
        self.messages += ticked.ready
        self.beats = dict(ticked.beats)
        for run in self.runs.values():
            for step in run.steps:
                if step.state == "delayed":
                    step.state = after("delayed", "due")

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        run = self.runs[data.draw(st.sampled_from(sorted(self.runs)))]
        was_open = run.left > 0
        self.messages += self.ledger.cancel(run.name, "enough")
        if was_open and not run.stopped:
            run.stopped = True
            for step in run.steps:
                if step.status is None and step.state != "running":
                    step.state, step.status = after(step.state, "stop"), "cancelled"
            self._tidy_lanes(run)

    @rule(worker=st.sampled_from(["w1", "w2"]))
    def die_and_come_back(self, worker: str) -> None:
        self.tick()
        assert worker in self.beats
        self.messages += self.ledger.tick(Beat("w3", "beat", reap=((worker, self.beats[worker] - 1),))).ready
        self.messages += self.ledger.tick(Beat("w3", "beat", reap=((worker, self.beats[worker]),))).ready
        assert self.ledger.tick(Beat(worker, "beat")).standing == "dead"
        for run in self.runs.values():
            for index, step in enumerate(run.steps):
                if step.worker == worker and step.state in {"running", "settled"}:
                    self._bury(run, index)
        self._join(worker)

    def _bury(self, run: ModelRun, index: int) -> None:
        step = run.steps[index]
        if step.state == "settled":
            step.state = after("settled", "reap")
            return self._tidy_lanes(run)
        step.deaths += 1
        if run.stopped:
            step.state, step.status = "vacated", "cancelled"
        elif step.deaths >= MAX_DEATHS:
            step.state, step.status = after("running", "reap_at_limit"), "lost"
        else:
            step.state = after("running", "reap")
        return self._follow(run, index)

    # what must always hold ----------------------------------------------------------------------------------------

    @invariant()
    def the_states_are_those_of_the_model(self) -> None:
        for name, run in getattr(self, "runs", {}).items():
            record = self.client.hgetall(f"{self.root}run:{name}")
            assert int(record[b"left"]) == run.left, (name, record)
            for index, step in enumerate(run.steps):
                seen = record.get(b"s%d" % index, b"new").split(b"|")[0].decode()
                assert seen == step.state or (seen in {"new", "ready"} and step.state in NOT_STARTED), (
                    name,
                    index,
                    seen,
                    step,
                )
                assert (b"o%d" % index in record) == (step.status is not None)
                if step.status is not None:
                    outcome = record[b"o%d" % index]
                    assert run.fixed.setdefault(index, outcome) == outcome
                    assert f'"status":"{step.status}"'.encode() in outcome

    @invariant()
    def the_lines_are_those_of_the_model(self) -> None:
        for lane, line in getattr(self, "line", {}).items():
            seen = [name.decode() for name in self.client.zrange(f"{self.root}lane:{lane}", 0, -1)]
            assert seen == line, lane

    @invariant()
    def a_lane_has_at_most_one_step_that_may_run(self) -> None:
        for lane in LANES:
            holders = [
                (run.name, index)
                for run in getattr(self, "runs", {}).values()
                for index, step in enumerate(run.steps)
                if step.critical
                and step.state in {"running", "settled"}
                and run.parcels[run.parcel_of(index)].lane == lane
            ]
            assert len(holders) <= 1

    def teardown(self) -> None:
        """Whatever happened, honest workers that only follow messages and ticks bring every run to its end."""
        if not hasattr(self, "runs"):
            return
        for name, index in self._draining():
            self.messages += self.ledger.vacate(name, index, self.runs[name].steps[index].fence).ready
        for name, index in self._running():
            step = self.runs[name].steps[index]
            fate = StepFate(index, step.fence, "S", "succeeded", OK)
            self.messages += self.ledger.settle(name, step.parcel, [fate], worker=step.worker).ready
        for _ in range(500):
            if not self.messages:
                ticked = self.ledger.tick(Beat("w3", "beat"))
                self.messages = [*ticked.ready, *ticked.maybe_lost]
                if not self.messages and not self._unfinished():
                    break
                continue
            self._work_off(self.messages.pop(0))
        assert not self._unfinished()
        assert set(self.client.hvals(f"{self.root}pending")) <= {b"0"}
        assert not self.client.hgetall(f"{self.root}lanes")
        assert not [key for lane in LANES for key in self.client.zrange(f"{self.root}lane:{lane}", 0, -1)]
        assert not [key for worker in WORKERS for key in self.client.hgetall(f"{self.root}claims:{worker}")]

    def _unfinished(self) -> list[str]:
        return [name for name in self.runs if not self.ledger.read(name).is_settled]

    def _work_off(self, message: Ready) -> None:
        claimed = self.ledger.claim(message.run_id, message.parcel, worker="w3", want=3, with_meta=False)
        assert claimed is not None
        while claimed.steps:
            fates = [StepFate(step.index, step.fence, "S", "succeeded", OK) for step in claimed.steps]
            settled = self.ledger.settle_and_claim_next(message.run_id, message.parcel, fates, worker="w3", want=3)
            assert all(settled.accepted)
            self.messages += settled.ready
            claimed = settled.next
