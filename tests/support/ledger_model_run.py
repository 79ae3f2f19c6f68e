"""A run and its steps as the model of the ledger sees them."""

from dataclasses import dataclass, field
from typing import Any

from steps.ledger.records import NewRun, ParcelRange, SiteLimits
from steps.ledger.states import START_OF_STEP, after

LANES = ("a", "b")
NOT_STARTED = frozenset({"waiting", "ready"})
HOLDING = frozenset({"running", "settled"})

MAX_RUNNING = {"One": 1, "Two": 2}
"""The steps that have limits over the site; all others are named Plain."""


@dataclass
class ModelStep:
    """A step; not yet started is ``waiting``, or ``ready`` where it was given back."""

    queue: str
    lane: str
    name: str = "Plain"
    state: str = START_OF_STEP
    status: str | None = None
    fence: int = 0
    worker: str = ""
    deaths: int = 0
    starts: int = 0
    failures: int = 0
    is_cancelled: bool = False
    is_suspect: bool = False
    is_held: bool = False
    waits_long: bool = False
    held_since: int = 0

    @property
    def most(self) -> int | None:
        """How many of it may run at once over the site."""
        return MAX_RUNNING.get(self.name)

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
    paused: bool = False
    away: bool = False
    body_in_line: bool = False
    fixed: dict[int, bytes] = field(default_factory=dict)
    cursors: dict[int, int] = field(default_factory=dict)
    loose: dict[int, list[int]] = field(default_factory=dict)

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

    def cursor(self, parcel: int) -> int:
        """The first step of a parallel parcel that no claim has come to."""
        return self.cursors.get(parcel, self.parcels[parcel].first)

    def given_back(self, parcel: int) -> list[int]:
        """The steps of a parallel parcel that are to be claimed before those at its cursor."""
        return self.loose.setdefault(parcel, [])

    def give_back(self, index: int) -> None:
        if not self.steps[index].critical:
            self.given_back(self.parcel_of(index)).append(index)

    def claimable(self, parcel: int) -> int:
        """How many steps of a parallel parcel the ledger has not looked at; some may be cancelled."""
        return self.parcels[parcel].last - self.cursor(parcel) + 1 + len(self.given_back(parcel))

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


def plan_of(
    name: str, kinds: list[str], body: str | None, shape: dict[str, Any], names: tuple[str, ...] = ("Plain",)
) -> tuple[ModelRun, NewRun]:
    """Build the same run for the model and for the ledger.

    Kinds are lanes for critical steps and ``parallel`` or ``other``, the queue, for parallel ones; ``body`` likewise.
    The steps take ``names`` by turns.
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
    for index, step in enumerate(steps):
        step.name = names[index % len(names)]
    limits = {index: SiteLimits(step.name, step.most) for index, step in enumerate(steps) if step.most}
    model = ModelRun(name, steps, parcels, critical_parcels, body is not None, **shape)
    run = NewRun(
        run_id=name,
        meta="{}",
        calls=tuple(f'{{"id":"s{index}","name":"{step.name}"}}' for index, step in enumerate(steps)),
        parcels=tuple(parcels),
        critical_count=sum(kind in LANES for kind in ordered),
        critical_parcels=critical_parcels,
        deadline_s=3600,
        has_body=body is not None,
        limits=limits,
        **shape,
    )
    return model, run
