"""What the ledger keeps of a plan beside its calls: enough for a worker, and for a result in any process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from config.choices import Mode, Order, Strategy
from steps import json_value
from steps.classifier import Rule
from steps.outcome import Outcome, Settlement

OUTCOMES_KEY: Final = "outcomes"
"""The completion body finds the outcomes of all steps, as JSON in input order, under this context key."""


@dataclass(frozen=True, slots=True)
class StepMeta:
    """What an outcome shows of its step that the settlement does not hold."""

    id: str
    name: str
    critical: bool
    reason: str
    rule: Rule
    queue: str
    lane: str | None

    def outcome(self, settlement: Settlement, settled_ms: float | None = None) -> Outcome:
        """Return the outcome of this step.

        Args:
            settlement: What the ledger holds of it.
            settled_ms: When it settled, in milliseconds since 1970, if that is known.
        """
        return Outcome(
            id=self.id,
            name=self.name,
            status=settlement.status,
            value=settlement.value,
            error=settlement.error,
            attempts=settlement.attempts,
            queued_ms=settlement.queued_ms,
            ran_ms=settlement.ran_ms,
            worker=settlement.worker,
            critical=self.critical,
            reason=self.reason,
            rule=self.rule,
            queue=self.queue,
            lane=self.lane,
            started_ms=settlement.started_ms,
            settled_ms=settled_ms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMeta:
    """A run as its workers and waiters see it.

    Args:
        context: What all steps may read.
        order: As planned.
        strategy: As planned.
        mode: As planned.
        steps: In input order.
        sequence: The input positions in ledger order.
        then: The completion body; its ledger index is the number of steps.
    """

    context: dict[str, Any]
    order: Order
    strategy: Strategy
    mode: Mode
    steps: tuple[StepMeta, ...]
    sequence: tuple[int, ...]
    then: StepMeta | None = None

    def at(self, index: int) -> StepMeta:
        """Return the step of a ledger index, the completion body's included.

        Raises:
            IndexError: There is none.
        """
        if index == len(self.steps) and self.then is not None:
            return self.then
        return self.steps[self.sequence[index]]

    def index_of(self, step_id: str) -> int | None:
        """Return the ledger index of a step, None where there is none of that id."""
        for position, step in enumerate(self.steps):
            if step.id == step_id:
                return self.sequence.index(position)
        return None

    def outcomes(self, settlements: Sequence[Settlement | None]) -> list[Outcome]:
        """Return the outcomes in input order; steps that have not settled are left out.

        Args:
            settlements: In ledger order, one a step.
        """
        settled = {
            position: settlement
            for position, settlement in zip(self.sequence, settlements, strict=True)
            if settlement is not None
        }
        return [self.steps[position].outcome(settled[position]) for position in sorted(settled)]

    def encode(self, context_json: str | None = None) -> str:
        """Return it as compact JSON.

        Args:
            context_json: The context's compact JSON where the caller has it already; empty for none.
        """
        if context_json is None:
            context_json = json_value.encode(self.context)
        kinds: dict[tuple[Any, ...], int] = {}
        record = {
            "order": self.order,
            "strategy": self.strategy,
            "mode": self.mode,
            "steps": [_row(step, kinds) for step in self.steps],
            "sequence": None if _is_plain(self.sequence) else self.sequence,
            "then": None if self.then is None else _row(self.then, kinds),
            "kinds": list(kinds),
        }
        return f'{{"context":{context_json or "{}"},{json_value.encode(record)[1:]}'

    @classmethod
    def decode(cls, text: str | bytes) -> "RunMeta":
        """Return the meta of a text that `encode` made; keys that a later version added are passed over."""
        record = json_value.decode(text)
        kinds = record["kinds"]
        steps = tuple(_step(row, kinds) for row in record["steps"])
        sequence = record.get("sequence")
        then = record.get("then")
        return cls(
            context=record["context"],
            order=record["order"],
            strategy=record["strategy"],
            mode=record["mode"],
            steps=steps,
            sequence=tuple(range(len(steps))) if sequence is None else tuple(sequence),
            then=None if then is None else _step(then, kinds),
        )


def _row(step: StepMeta, kinds: dict[tuple[Any, ...], int]) -> list[Any]:
    """Return ``[id, kind, name]``, without the name where it is the id; steps share a few kinds."""
    kind = (step.critical, step.reason, step.rule, step.queue, step.lane)
    row: list[Any] = [step.id, kinds.setdefault(kind, len(kinds))]
    return row if step.name == step.id else [*row, step.name]


def _step(row: list[Any], kinds: list[list[Any]]) -> StepMeta:
    step_id, kind, *name = row
    return StepMeta(step_id, name[0] if name else step_id, *kinds[kind][:5])


def _is_plain(sequence: tuple[int, ...]) -> bool:
    return sequence == tuple(range(len(sequence)))
