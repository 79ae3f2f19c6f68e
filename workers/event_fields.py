"""What the events of a step say, in the words of Celery's task events: never a value, never a parameter."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from producer.run_meta import RunMeta
from steps.ledger.records import StepFate
from steps.outcome import OutcomeError, Settlement, Status

UUID_MARK: Final = "."
"""Between run id and step id in the uuid of a step; neither of them can hold it."""

MESSAGE_CHARS: Final = 200
"""So much of an error's message is told."""

TYPE_BY_STATUS: Final[Mapping[Status, str]] = {
    "succeeded": "task-succeeded",
    "failed": "task-failed",
    "timed_out": "task-failed",
    "lost": "task-failed",
    "cancelled": "task-revoked",
    "skipped": "task-revoked",
}


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One event: its type and its fields, as Celery's dispatcher sends them."""

    type: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class StepSeen:
    """A step as its events name it: the run, its plan, its ledger index, and when it was seen (seconds since 1970)."""

    run_id: str
    meta: RunMeta
    index: int
    at_s: float

    def event(self, kind: str, **more: object) -> StepEvent:
        """Return an event of this kind; name and arguments ride in all of them, as a listener may come late."""
        step = self.meta.at(self.index)
        fields = {
            "uuid": uuid_of(self.run_id, step.id),
            "name": step.name,
            "args": f"('{self.run_id}', '{step.id}')",
            "kwargs": "{}",
            "routing_key": step.queue,
            "timestamp": self.at_s,
            **more,
        }
        return StepEvent(kind, fields)

    def settled(self, settlement: Settlement) -> StepEvent:
        """Return the event of an outcome."""
        ran_ms = settlement.ran_ms
        return self.event(
            TYPE_BY_STATUS[settlement.status],
            result=settlement.status,
            exception=None if settlement.error is None else _text_of(settlement.error),
            runtime=None if ran_ms is None else ran_ms / 1000,
            retries=max(settlement.attempts - 1, 0),
        )

    def ended(self, fate: StepFate, error: OutcomeError | None) -> StepEvent | None:
        """Return the event of an attempt's end; None where the step goes on elsewhere as if nothing had happened.

        Args:
            fate: What the ledger was told.
            error: Why it is tried again, where it is.
        """
        match fate.kind:
            case "S":
                return self.settled(Settlement.decode(fate.payload))
            case "R":
                return self.event("task-retried", exception=None if error is None else _text_of(error))
            case _:
                return None


def uuid_of(run_id: str, step_id: str) -> str:
    """Return the uuid under which a step is shown."""
    return f"{run_id}{UUID_MARK}{step_id}"


def of_uuid(uuid: str) -> tuple[str, str] | None:
    """Return run id and step id of a step's uuid, None for any other."""
    run_id, _, step_id = uuid.partition(UUID_MARK)
    return (run_id, step_id) if run_id and step_id else None


def _text_of(error: OutcomeError) -> str:
    message = error.message
    short = message if len(message) <= MESSAGE_CHARS else f"{message[:MESSAGE_CHARS]}..."
    return f"{error.type}: {short}"
