"""The queues, workers and lanes of a site as they are at this moment."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from config.queue_settings import QueueSettings
from steps.ledger.records import LaneFacts, QueueFacts, WorkerCard


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """A live worker: ``busy`` of its ``slots`` run a step; ``started_ms`` is milliseconds since 1970."""

    worker_id: str
    queue: str
    host: str
    pid: int
    pool: str
    slots: int
    busy: int
    started_ms: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneView:
    """A lane in use: the run that holds it, since when (milliseconds since 1970), and how many runs wait behind it."""

    lane: str
    holder: str
    since_ms: float
    waiting: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """A queue.

    Args:
        name: As in the settings.
        pool: ``prefork`` or ``threads``.
        length: Steps that wait: accepted and neither running nor settled.
        running: Steps that its workers run.
        max_size: Steps that it takes, running ones with them; beyond, a run is refused.
        oldest_ms: When the oldest run with unsettled steps here was accepted, in milliseconds since 1970.
        newest_ms: When the newest was.
        slots: Steps that its live workers run at once.
        workers: The live ones.
    """

    name: str
    pool: str
    length: int
    running: int
    max_size: int
    oldest_ms: float | None
    newest_ms: float | None
    slots: int
    workers: tuple[WorkerView, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return {**asdict(self), "workers": [worker.as_dict() for worker in self.workers]}


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteQueues:
    """The queues of a site in the order of the settings, and its lanes in use by name."""

    queues: tuple[QueueView, ...]
    lanes: tuple[LaneView, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as ``stepline queues --json`` prints it."""
        return {
            "queues": [queue.as_dict() for queue in self.queues],
            "lanes": [lane.as_dict() for lane in self.lanes],
        }


def worker_view(card: WorkerCard) -> WorkerView:
    """Return a worker as its card has it."""
    info = json.loads(card.info)
    slots = int(info.get("slots", 0))
    return WorkerView(
        worker_id=card.worker_id,
        queue=card.queue,
        host=str(info.get("host", "")),
        pid=int(info.get("pid", 0)),
        pool=str(info.get("pool", "")),
        slots=slots,
        busy=min(card.claims, slots),
        started_ms=float(info.get("started_ms", 0)),
    )


def queue_view(queue: QueueSettings, facts: QueueFacts, workers: Sequence[WorkerView], *, max_size: int) -> QueueView:
    """Return a queue as the ledger has it, with those of the workers that serve it."""
    own = tuple(worker for worker in workers if worker.queue == queue.name)
    running = sum(worker.busy for worker in own)
    return QueueView(
        name=queue.name,
        pool=queue.pool,
        length=max(0, facts.pending - running),
        running=running,
        max_size=max_size,
        oldest_ms=facts.oldest_ms,
        newest_ms=facts.newest_ms,
        slots=sum(worker.slots for worker in own),
        workers=own,
    )


def lane_view(facts: LaneFacts) -> LaneView:
    """Return a lane as the ledger has it."""
    return LaneView(lane=facts.lane, holder=facts.holder, since_ms=facts.since_ms, waiting=max(0, facts.in_line - 1))
