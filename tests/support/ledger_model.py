"""A model of runs, steps, lanes and claims after the tables of steps.ledger.states: what each verb must bring about."""

from dataclasses import dataclass, field
from typing import Any

from steps.ledger.records import NewRun, ParcelRange
from steps.ledger.states import START_OF_STEP, after

LANES = ("a", "b")
NOT_STARTED = frozenset({"waiting", "ready"})
HOLDING = frozenset({"running", "settled"})
MAX_DEATHS = 3

GIVEN_BACK = {"retry": "retry", "long_retry": "retry", "park": "park", "release": "release"}
"""Fates that are no outcome, and the events of the table that they are."""

STEPS_OUT = frozenset({"long_retry", "park"})


@dataclass
class ModelStep:
    """A step; not yet started is ``waiting``, or ``ready`` where it was given back."""

    queue: str
    lane: str
    state: str = START_OF_STEP
    status: str | None = None
    fence: int = 0
    worker: str = ""
    deaths: int = 0
    starts: int = 0
    failures: int = 0

    @property
    def critical(self) -> bool:
        return self.lane != ""

    def go(self, event: str) -> None:
        self.state = after(self.state, event)

    def end(self, event: str, status: str) -> None:
        self.go(event)
        self.status = status


@dataclass(repr=False)
class ModelRun:
    """A run; its completion body, if it has one, is its last step."""

    name: str
    steps: list[ModelStep]
    parcels: list[ParcelRange]
    critical_parcels: int
    has_body: bool
    max_concurrency: int
    critical_first: bool
    stops_at_failure: bool
    stop: str | None = None
    away: bool = False
    body_in_line: bool = False
    fixed: dict[int, bytes] = field(default_factory=dict)

    def __repr__(self) -> str:
        return self.name

    @property
    def size(self) -> int:
        return len(self.steps) - self.has_body

    @property
    def plain(self) -> list[ModelStep]:
        return self.steps[: self.size]

    @property
    def critical_left(self) -> int:
        return sum(step.critical and step.status is None for step in self.plain)

    @property
    def left(self) -> int:
        return sum(step.status is None for step in self.plain)

    @property
    def running(self) -> int:
        return sum(step.state == "running" and not step.critical for step in self.steps)

    @property
    def phase(self) -> str:
        if self.left:
            return "open"
        return "body" if self.has_body and self.steps[-1].status is None else "closed"

    def holding(self) -> int | None:
        """The critical step that was claimed and has not vacated."""
        return next((i for i, step in enumerate(self.steps) if step.critical and step.state in HOLDING), None)

    def current(self) -> int | None:
        """The critical step whose turn it is."""
        if self.phase == "body":
            return self.size if self.body_in_line else None
        return next((i for i, step in enumerate(self.plain) if step.critical and step.status is None), None)

    def parcel_of(self, index: int) -> int:
        return next(k for k, parcel in enumerate(self.parcels) if parcel.first <= index <= parcel.last)

    def is_body(self, parcel: int) -> bool:
        return self.has_body and parcel == len(self.parcels) - 1

    def gate_is_open(self) -> bool:
        return not (self.critical_first and self.critical_left)

    def lanes_ahead(self) -> set[str]:
        """Where the run stands in line: the lanes of its parcels that are not done with."""
        first = self.holding() if self.holding() is not None else self.current()
        if first is None or self.away:
            return set()
        if first == self.size:
            return {self.steps[first].lane}
        return {parcel.lane for parcel in self.parcels[self.parcel_of(first) : self.critical_parcels]}


class ModelSite:
    """All runs, the lines of the lanes, and what each worker has claimed."""

    def __init__(self) -> None:
        self.runs: dict[str, ModelRun] = {}
        self.lines: dict[str, list[str]] = {lane: [] for lane in LANES}
        self.claims: dict[str, dict[tuple[str, int], int]] = {}
        self.asked: dict[str, list[tuple[str, int]]] = {}
        self.last_fence = 0

    def join(self, worker: str) -> None:
        self.claims[worker], self.asked[worker] = {}, []

    def open(self, run: ModelRun) -> None:
        self.runs[run.name] = run
        for lane in run.lanes_ahead():
            self.lines[lane].append(run.name)
        self.tidy(run)

    # claiming -----------------------------------------------------------------------------------------------------

    def standing(self, run: ModelRun, parcel: int) -> str:
        """Say why a parcel would be granted to a live worker, or why not."""
        if run.phase != ("body" if run.is_body(parcel) else "open") or run.stop:
            return "ended"
        span = run.parcels[parcel]
        if not span.lane:
            return self._parallel_standing(run, span)
        current = run.current()
        if run.holding() is not None:
            return "held"
        if current is None or not span.first <= current <= span.last or run.steps[current].state == "delayed":
            return "early"
        return "granted" if self.lines[span.lane][0] == run.name else "in line"

    @staticmethod
    def _parallel_standing(run: ModelRun, span: ParcelRange) -> str:
        if not run.gate_is_open():
            return "gate"
        if not any(step.state in NOT_STARTED for step in run.steps[span.first : span.last + 1]):
            return "taken"
        return "granted" if run.running < run.max_concurrency else "full"

    def grants(self, run: ModelRun, parcel: int, worker: str, want: int) -> int:
        """How many steps a claim must be granted."""
        if worker not in self.claims or self.standing(run, parcel) != "granted":
            return 0
        span = run.parcels[parcel]
        if span.lane:
            return min(1, want)
        unstarted = sum(step.state in NOT_STARTED for step in run.steps[span.first : span.last + 1])
        return max(0, min(want, unstarted, run.max_concurrency - run.running))

    def is_reached(self, run: ModelRun, index: int) -> bool:
        """Whether a step that has not started may be published."""
        step = run.steps[index]
        if step.critical:
            return run.current() == index and self.standing(run, run.parcel_of(index)) == "granted"
        if run.has_body and index == run.size:
            return run.phase == "body"
        return run.gate_is_open()

    def take(self, run: ModelRun, index: int, worker: str, fence: int) -> None:
        """Note a claim that was granted."""
        step = run.steps[index]
        assert step.state in NOT_STARTED, step
        assert fence > self.last_fence
        step.state = after("ready", "claim")
        step.fence, step.worker = fence, worker
        step.starts += 1
        self.last_fence = fence
        self.claims[worker][run.name, index] = fence

    # what becomes of claims ---------------------------------------------------------------------------------------

    def settle(self, run: ModelRun, index: int, kind: str) -> None:
        step = run.steps[index]
        step.starts -= kind == "park"  # its code never began
        keeps_lane = kind == "settle_only" and step.critical
        if not keeps_lane:
            del self.claims[step.worker][run.name, index]
        if kind in GIVEN_BACK and run.stop:
            step.end("settle", run.stop)
        elif kind in GIVEN_BACK:
            step.go(GIVEN_BACK[kind])
            step.failures += kind in {"retry", "long_retry"}
            run.away = run.away or (step.critical and kind in STEPS_OUT)
        else:
            step.end("settle_only" if keeps_lane else "settle", "failed" if kind == "failed" else "succeeded")
        self.follow(run, index)

    def vacate(self, run: ModelRun, index: int, event: str = "vacate") -> None:
        step = run.steps[index]
        del self.claims[step.worker][run.name, index]
        step.go(event)
        self.tidy(run)

    def take_back(self, worker: str, claim: tuple[str, int], *, announced: bool = False) -> None:
        run, index = self.runs[claim[0]], claim[1]
        step = run.steps[index]
        if step.state == "settled":
            return self.vacate(run, index, "reap")
        del self.claims[worker][claim]
        step.deaths += not announced
        step.go("release" if announced else "reap")
        if run.stop:
            step.end("stop", run.stop)
        elif step.deaths >= MAX_DEATHS:
            step.state, step.status = after("running", "reap_at_limit"), "lost"
        return self.follow(run, index)

    def take_back_all(self, worker: str, *, announced: bool = False) -> None:
        for claim in list(self.claims[worker]):
            self.take_back(worker, claim, announced=announced)
        self.asked[worker] = []

    def stop(self, run: ModelRun, status: str) -> None:
        if run.phase != "open" or run.stop:
            return
        run.stop = status
        for index, step in enumerate(run.plain):
            if step.state == "running":
                self.asked[step.worker].append((run.name, index))
            elif step.status is None:
                step.end("stop", status)
        self.tidy(run)

    def end_grace(self, run: ModelRun) -> None:
        for step in run.plain:
            if step.state == "running":
                step.end("stop", run.stop or "")
        self.tidy(run)

    def due(self) -> None:
        """All waits for a retry are over, in the order of the names that the ledger keeps them under."""
        late = [(f"retry:{r.name}:{i}", r, s) for r in self.runs.values() for i, s in enumerate(r.steps)]
        for _, run, step in sorted((one for one in late if one[2].state == "delayed"), key=lambda one: one[0]):
            step.go("due")
            if step.critical and run.away:
                run.away = False
                for lane in run.lanes_ahead():
                    self.lines[lane].append(run.name)

    # what follows -------------------------------------------------------------------------------------------------

    def follow(self, run: ModelRun, index: int) -> None:
        step = run.steps[index]
        has_failed = step.status not in {None, "succeeded"}
        if step.critical and index < run.size and has_failed and run.stops_at_failure and not run.stop:
            for later in run.plain[index + 1 :]:
                if later.critical and later.status is None:
                    later.end("stop", "skipped")
        self.tidy(run)

    def tidy(self, run: ModelRun) -> None:
        """Leave the lanes that are done with, and begin the completion body when the last step has settled."""
        if run.left == 0 and run.has_body and run.steps[-1].state == START_OF_STEP and not run.body_in_line:
            if run.stop == "cancelled":
                run.steps[-1].end("stop", "cancelled")
            run.stop = None
        ahead = run.lanes_ahead()
        for lane, line in self.lines.items():
            if run.name in line and lane not in ahead:
                line.remove(run.name)
        if run.phase == "body" and run.steps[-1].critical and run.holding() is None and not run.body_in_line:
            run.body_in_line, run.away = True, False
            self.lines[run.steps[-1].lane].append(run.name)


def plan_of(name: str, kinds: list[str], body: str | None, shape: dict[str, Any]) -> tuple[ModelRun, NewRun]:
    """Build the same run for the model and for the ledger.

    Kinds are lanes for critical steps and ``parallel`` or ``other``, the queue, for parallel ones; ``body`` likewise.
    """
    ordered = sorted(kinds, key=lambda kind: (kind not in LANES, kind == "other"))
    parcels: list[ParcelRange] = []
    for index, kind in enumerate(ordered):
        queue, lane = ("critical", kind) if kind in LANES else (kind, "")
        if parcels and (parcels[-1].queue, parcels[-1].lane) == (queue, lane):
            parcels[-1] = ParcelRange(queue, lane, parcels[-1].first, index)
        else:
            parcels.append(ParcelRange(queue, lane, index, index))
    critical_parcels = sum(parcel.lane != "" for parcel in parcels)
    if body is not None:
        queue, lane = ("critical", body) if body in LANES else (body, "")
        parcels.append(ParcelRange(queue, lane, len(ordered), len(ordered)))
    steps = [ModelStep(parcel.queue, parcel.lane) for parcel in parcels for _ in range(parcel.first, parcel.last + 1)]
    model = ModelRun(name, steps, parcels, critical_parcels, body is not None, **shape)
    run = NewRun(
        run_id=name,
        meta="{}",
        calls=tuple(f'{{"id":"s{index}"}}' for index in range(len(steps))),
        parcels=tuple(parcels),
        critical_count=sum(kind in LANES for kind in ordered),
        critical_parcels=critical_parcels,
        deadline_s=3600,
        has_body=body is not None,
        **shape,
    )
    return model, run
