"""A site with a backlog, its clocks fast: keepers and broker are real, workers are threads here that run no code."""

import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from kombu import Consumer, Exchange, Queue

from producer.publish import Publisher, make_site_app, probe_of
from steps.ledger import Ledger
from steps.ledger.records import NewRun, Ready, StepFate
from tests.support.ledger_story import ok, run_of
from tests.support.processes import WAIT_S, wait_until
from tests.support.real_redis import RealSite
from workers.intake import bare
from workers.keeper import Keeper, KeeperCard
from workers.nudge import Nudge
from workers.received import Received
from workers.side_parcel import HeldSteps

STEPS_A_RUN = 10
NORMAL_RUN, URGENT_RUN = 1, 6


def run_on(queue: str, name: str, *, priority: int = NORMAL_RUN) -> NewRun:
    """Return a run of one message; each critical one has a lane of its own."""
    lane = f"lane of {name}" if queue == "critical" else ""
    return run_of(name, (queue, lane, STEPS_A_RUN), priority=priority)


def backlog_of(steps: int) -> Iterator[NewRun]:
    """Yield runs of so many steps, a tenth of them critical, a fifth of each kind urgent."""
    for number in range(steps // STEPS_A_RUN):
        is_urgent = number % 5 == 1 or number % 50 == 0
        queue = "critical" if number % 10 == 0 else "parallel"
        yield run_on(queue, f"r{number}", priority=URGENT_RUN if is_urgent else NORMAL_RUN)


class Backlog:
    """A site with a worker a name; a name begins with its queue.

    Args:
        real: The site's Redis and broker.
        workers: Their names.
        clocks: Settings beyond what may be set.

    Attributes:
        asked: Messages that whoever made a parcel ready was told to publish.
    """

    def __init__(self, real: RealSite, workers: Sequence[str], **clocks: float) -> None:
        self.real = real
        self.settings = real.settings.model_copy(update=clocks)
        self.ledger = Ledger(self.settings, url=real.url)
        self.asked = 0
        self._lock = threading.Lock()
        self.workers = [_Worker(self, name) for name in workers]

    def open(self, run: NewRun) -> None:
        opened = self.ledger.open(run, published=self.real.publisher.take_marks())
        self._last = run.run_id
        self.publish(opened.ready)

    def publish(self, ready: Sequence[Ready], *, by: Publisher | None = None) -> None:
        """Publish what a verb said is ready."""
        assert (by or self.real.publisher).publish(ready)
        with self._lock:
            self.asked += sum(parcel.copies for parcel in ready)

    def sent(self) -> int:
        """Return how many messages the broker has got."""
        stats: Any = self.real.client.info("commandstats")
        return int(stats.get("cmdstat_lpush", {"calls": 0})["calls"])

    def lists(self) -> list[str]:
        """Return the broker's lists of messages."""
        queues = ("critical", "parallel")
        return [self.real.queue_key(queue, priority) for queue in queues for priority in (0, 1)]

    def lose(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Take messages out of their lists."""
        for name, raw in messages:
            assert self.real.client.lrem(name, 1, raw) == 1

    def messages(self) -> list[tuple[str, bytes]]:
        """Return every message that waits, with its list, the next ones to come out last."""
        return [(name, raw) for name in self.lists() for raw in self.real.client.lrange(name, 0, -1)]

    def depth(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        return sum(self.real.client.llen(self.real.queue_key(queue, priority)) for priority in (0, 1))

    def wait_until_settled(self, timeout_s: float = WAIT_S) -> None:
        """Wait as a producer does, whose looks carry marks."""
        self.ledger.watch("", [self._last], published=self.real.publisher.take_marks())
        wait_until(lambda: self.ledger.site.open_count() == 0, timeout_s)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Let the workers consume for the block."""
        for worker in self.workers:
            worker.start()
        try:
            yield
        finally:
            for worker in self.workers:
                worker.stop()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Let the workers be there for the block."""
        self.real.client.config_resetstat()
        for worker in self.workers:
            worker.keeper.join()
        for worker in self.workers:
            worker.keeper.start()
        try:
            yield
        finally:
            for worker in self.workers:
                worker.leave()
            self.ledger.close()


class _Worker:
    """Claims and settles what comes out of its queue, one message after the other."""

    def __init__(self, site: Backlog, name: str) -> None:
        self._site = site
        self._name = name
        self._queue = name.partition("-")[0]
        self._publisher = Publisher(make_site_app(site.settings, site.real.url))
        nudge = Nudge()
        self._received = Received(self._queue, nudge.set)
        self.keeper = Keeper(
            ledger=site.ledger,
            publisher=self._publisher,
            settings=site.settings,
            card=KeeperCard(name, self._queue, "{}", {}, self._received),
            held=HeldSteps(),
            declared_dead=lambda: None,
            nudge=nudge,
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._consume)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def leave(self) -> None:
        self.keeper.leave()
        self._publisher.close()

    def _consume(self) -> None:
        with self._publisher._app.connection_for_read() as connection:
            queue = Queue(self._queue, Exchange(self._queue), routing_key=self._queue)
            consumer = Consumer(connection.channel(), [queue], on_message=self._take, prefetch_count=1)
            consumer.consume()
            while not self._stopping.is_set():
                with suppress(socket.timeout):
                    connection.drain_events(timeout=0.1)

    def _take(self, message: Any) -> None:
        run_id, parcel = bare(message)
        probe = probe_of(run_id)
        if probe is None:
            self._received.add(message, run_id, parcel)
            self._work_off(run_id, parcel)
        else:
            self._received.come_out(probe)
        message.ack()

    def _work_off(self, run_id: str, parcel: int) -> None:
        ledger = self._site.ledger
        marks = self._publisher.take_marks()
        claimed = ledger.claim(run_id, parcel, worker=self._name, want=STEPS_A_RUN, with_meta=False, published=marks)
        while claimed is not None and claimed.steps:
            fates: list[StepFate] = [ok(step) for step in claimed.steps]
            settled = ledger.settle_and_claim_next(run_id, parcel, fates, worker=self._name, want=STEPS_A_RUN)
            self._site.publish(settled.ready, by=self._publisher)
            claimed = settled.next
