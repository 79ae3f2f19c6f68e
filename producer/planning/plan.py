"""A plan as data: the classified, validated, ordered form of a batch, complete before anything is written."""

from dataclasses import dataclass
from typing import Any

from config.choices import Mode, Order, Strategy
from producer.run_meta import RunMeta, StepMeta
from steps.call import StepCall
from steps.classifier import Classification, Rule
from steps.ledger.records import SiteLimits


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step with everything decided.

    Args:
        position: In the input, from 0; of the completion body: the number of steps.
        call: What a worker needs of it.
        encoded: The call as JSON.
        critical: Whether it changes things.
        reason: Why it was classified so.
        rule: Which rule decided that.
        queue: Where it is sent.
        lane: The lane it runs in, one at a time; None if it may run beside others.
        limits: What holds for it over the whole site; None for nothing.
    """

    position: int
    call: StepCall
    encoded: str
    critical: bool
    reason: str
    rule: Rule
    queue: str
    lane: str | None
    limits: SiteLimits | None = None

    @property
    def sequential(self) -> bool:
        """Whether it runs in a lane: it is critical, or the mode forces it."""
        return self.lane is not None

    def meta(self) -> StepMeta:
        """Return what its outcome shows of it."""
        call = self.call
        return StepMeta(call.id, call.name, self.critical, self.reason, self.rule, self.queue, self.lane)


@dataclass(frozen=True, slots=True)
class Parcel:
    """The steps of a run that travel in one message: a range of ledger indexes.

    Args:
        queue: Where it is sent.
        lane: The lane its steps run in, in order; None if they run side by side.
        first: Ledger index of its first step.
        count: How many steps it has.
    """

    queue: str
    lane: str | None
    first: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will be.

    Args:
        steps: In input order.
        sequence: The input positions in ledger order: steps in lanes first, then the others grouped by queue.
        parcels: Covering the ledger indexes from 0 without a gap: those in lanes first.
        context: What all steps may read.
        context_json: The same as JSON; empty for none.
        order: Whether parallel steps wait for those in lanes.
        strategy: Whether steps in lanes go on after a failure.
        mode: What the run is in fact: ``hybrid`` if it has both kinds, ``parallel`` if it has no steps.
        deadline_s: For the whole run, in seconds.
        max_concurrency: How many of its steps may run at once.
        then: The completion body; its ledger index is the number of steps.
        classification: Of the steps, in input order.
        name: What people call the run.
        priority: 1, 10 more where it has critical steps, 5 more where its caller says that it is urgent.
        after: Ids of the runs that must have settled before it begins.
        idempotency_key: Submitting again under it returns the run that is there.
        supersede: The place that it takes; the run that has it is cancelled.
        queue_timeout_s: How long it may wait for its first step to start, in seconds.
    """

    steps: tuple[PlannedStep, ...]
    sequence: tuple[int, ...]
    parcels: tuple[Parcel, ...]
    context: dict[str, Any]
    context_json: str
    order: Order
    strategy: Strategy
    mode: Mode
    deadline_s: float
    max_concurrency: int
    then: PlannedStep | None
    classification: Classification
    name: str | None = None
    priority: int = 1
    after: tuple[str, ...] = ()
    idempotency_key: str | None = None
    supersede: str | None = None
    queue_timeout_s: float | None = None

    @property
    def sequential_count(self) -> int:
        """How many steps run in lanes: they have the first ledger indexes."""
        return sum(parcel.count for parcel in self.parcels if parcel.lane is not None)

    def in_ledger_order(self) -> list[PlannedStep]:
        """Return the steps in ledger order, without the completion body."""
        return [self.steps[position] for position in self.sequence]

    def meta(self) -> RunMeta:
        """Return what a worker and whoever attaches must know of the run."""
        return RunMeta(
            context=self.context,
            order=self.order,
            strategy=self.strategy,
            mode=self.mode,
            steps=tuple(step.meta() for step in self.steps),
            sequence=self.sequence,
            then=None if self.then is None else self.then.meta(),
        )

    def meta_json(self) -> str:
        """Return the same as JSON."""
        return self.meta().encode(self.context_json)
