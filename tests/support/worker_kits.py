"""What a pipeline of a worker needs, in this process: a ledger on fakeredis, a publisher that only writes down."""

import threading
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

from config.settings import Settings
from producer.open_run import new_run_id, to_open
from producer.planning.batch import parse_batch
from producer.planning.planner import make_plan
from producer.run_meta import RunMeta
from steps.classifier import StepClassifier
from steps.ledger import Ledger
from steps.ledger.records import Beat, Ready
from steps.outcome import Outcome, Settlement
from steps.registry import StepRegistry
from tests.support.ledgers import fake_client, fast_settings, ledger_on
from tests.support.processes import wait_until
from workers.kit import Kit
from workers.nudge import Nudge

WORKER = "w"


class RecordingPublisher:
    """Sends nothing; keeps what it was to send."""

    def __init__(self) -> None:
        self.sent: list[Ready] = []
        self.probes: list[tuple[str, int]] = []
        self.depths: dict[str, int | None] = {}
        self._marks: list[tuple[str, int]] = []
        self._lock = threading.Lock()

    def publish(self, ready: Sequence[Ready], *, body: tuple[str, int] | None = None) -> bool:
        with self._lock:
            self.sent += ready
            self._marks += [(one.run_id, one.parcel) for one in ready]
        return True

    def send_probe(self, queue: str, probe: int) -> None:
        self.probes.append((queue, probe))

    def take_marks(self) -> tuple[tuple[str, int], ...]:
        with self._lock:
            marks, self._marks = self._marks, []
        return tuple(marks)

    def depth(self, queue: str) -> int | None:
        return self.depths.get(queue, 0)

    def take(self) -> list[Ready]:
        """Return what was sent since the last call."""
        with self._lock:
            sent, self.sent = self.sent, []
        return sent


class Workshop:
    """A site without processes: opens runs, and holds the kit of one worker that has joined.

    Args:
        settings: changes to the settings.
    """

    def __init__(self, **settings: Any) -> None:
        self.client = fake_client()
        self.client.flushall()
        changes = {"republish_s": 3600, **settings}
        self.settings: Settings = fast_settings(**changes)
        self.ledger: Ledger = ledger_on(self.client, **changes)
        self.publisher = RecordingPublisher()
        self.is_draining = threading.Event()
        self.nudge = Nudge()
        self.kit = Kit(
            settings=self.settings,
            ledger=self.ledger,
            publisher=self.publisher,  # type: ignore[arg-type]
            worker_id=WORKER,
            is_draining=self.is_draining.is_set,
            nudge=self.nudge,
            rng=Random(1),
        )
        self.ledger.tick(Beat(WORKER, "join", "critical"))

    def open(self, steps: Iterable[Any], **options: Any) -> str:
        """Open a run of steps that are registered here; returns its id. What is to be published is sent."""
        batch = parse_batch(steps, settings=self.settings, **options)
        plan = make_plan(
            batch,
            find_facts=lambda name: None,
            find_definition=StepRegistry().find,
            nearest=lambda name: [],
            classifier=StepClassifier(),
            settings=self.settings,
        )
        run_id = new_run_id()
        self.publisher.publish(self.ledger.open(to_open(plan, run_id)).ready)
        return run_id

    def work_off(self, run: Callable[[str, int], None]) -> None:
        """Hand a pipeline the parcels that were sent, and those that are sent because of it."""
        while parcels := self.publisher.take():
            for parcel in parcels:
                for _ in range(parcel.copies):
                    run(parcel.run_id, parcel.parcel)

    def bring_retries_due(self) -> None:
        due = "stepline:v1:due"
        retries = [one for one in self.client.zrange(due, 0, -1) if one.startswith(b"retry:")]
        if retries:
            self.client.zadd(due, dict.fromkeys(retries, 0))
        self.publisher.publish(self.ledger.tick(Beat()).ready)

    def outcomes(self, run_id: str) -> list[Outcome]:
        """Return the outcomes so far, in input order."""
        record = self.ledger.read(run_id)
        return RunMeta.decode(record.meta).outcomes([text and Settlement.decode(text) for text in record.outcomes])

    def outcome(self, run_id: str) -> Outcome:
        (outcome,) = self.outcomes(run_id)
        return outcome

    def statuses(self, run_id: str) -> list[str]:
        return [outcome.status for outcome in self.outcomes(run_id)]

    def deaths(self, run_id: str) -> int:
        """Return how many deaths the ledger has counted against the first step of a run."""
        fields: Any = self.client.hget(f"stepline:v1:run:{run_id}", "s0")
        return int(fields.split(b"|")[2])

    def claims(self) -> list[str]:
        return [claim.decode() for claim in self.client.hkeys(f"stepline:v1:claims:{WORKER}")]

    def wait_for_claims(self, count: int) -> None:
        wait_until(lambda: len(self.claims()) == count)
