"""The schedule record of a run: when it was accepted, how urgent it is, how long it should take, what it waits for."""

from dataclasses import asdict, dataclass
from typing import Any

from producer.planning.expectation import expected_steps_ms
from producer.run_meta import RunMeta
from producer.site_statistics import expected_step_ms
from steps.ledger import Ledger
from steps.ledger.records import RunFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRecord:
    """How a run was scheduled.

    Args:
        run_id: The run.
        scheduled_at_ms: When it was accepted, in milliseconds since 1970.
        priority: 1, 10 more where it has critical steps, 5 more where its caller said that it is urgent.
        estimated_ms: How long it is expected to take, in milliseconds: by the history of its steps, else 30 s a step.
        dependencies: Ids of the runs that must have settled before it begins.
    """

    run_id: str
    scheduled_at_ms: float
    priority: int
    estimated_ms: float
    dependencies: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return {**asdict(self), "dependencies": list(self.dependencies)}


def schedule_of(run_id: str, meta: RunMeta, facts: RunFacts, ledger: Ledger) -> ScheduleRecord:
    """Return the schedule record of a run, the estimate by what its steps have taken until now."""
    plain, counts = facts.plain, ledger.site.step_counts()
    return ScheduleRecord(
        run_id=run_id,
        scheduled_at_ms=int(plain["created"]) / 1000,
        priority=int(plain["prio"] or 1),
        estimated_ms=expected_steps_ms(
            meta.steps,
            lambda name: expected_step_ms(counts.get(name, {})),
            order=meta.order,
            max_concurrency=int(plain["maxc"]),
        ),
        dependencies=tuple(plain["after"].split(",")) if plain["after"] else (),
    )
