"""One worker process: a Celery worker for one queue, with the keeper beside it and the pipelines inside it."""

import json
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from billiard import current_process
from celery import Celery, signals

from config.queue_settings import QueueSettings
from config.settings import Settings
from producer.publish import Publisher, make_site_app
from steps.attempt import ValueLimits
from steps.errors import BrokerUnavailable
from steps.ledger import Ledger
from steps.registry import load_step_modules
from steps.step_loop import shared_loop
from steps.step_threads import shared_threads
from workers.child_board import ChildBoard
from workers.child_watch import ChildWatch
from workers.dead_letters import DeadLetters
from workers.ending import START_AGAIN_EXIT, Ending, end_process
from workers.event_switch import EventSwitch
from workers.event_thread import EventThread
from workers.fork_gate import fork_gate
from workers.intake import take_in_parcels
from workers.keeper import Keeper, KeeperCard
from workers.kit import Kit
from workers.logs import keep_to_own_logging
from workers.nudge import Nudge
from workers.own_process import OwnProcesses
from workers.processes import obey_signals_in_forks
from workers.pulse import Pulse
from workers.received import Received
from workers.remote_control import keep_to_settings
from workers.revoking import Revoking
from workers.serial import SerialPipeline
from workers.side_parcel import HeldSteps, SidePipeline
from workers.silent_children import SEEN_EVERY_S, SilentChildren, jobs_of
from workers.slot_gate import gate_by_slots
from workers.slots import Slots
from workers.step_events import Outlet, StepEvents
from workers.tasks import register, set_pipeline

logger = logging.getLogger(__name__)

LOST_WORKER_EXIT: Final = 72
"""Exit code of a child whose worker stands still: its step is about to begin elsewhere."""

SWITCH_INTERVAL_S: Final = 0.0005
"""How long a busy step may keep the interpreter from the others of its worker; Python's own 5 ms add up."""

CHILDREN_TENDED_EVERY_S: Final = 0.1
"""How soon a dead child is replaced. Celery by itself may take 5 s: it is told that a child ends before it can be
waited for, or not at all where something that the child started holds the pipe that would tell."""

BEATS_MISSED: Final = 2
"""A worker whose last confirmed beat is older than so many hears nothing of Redis."""

LAST_EVENTS_S: Final = 0.3
"""How long the end of a process may wait for its last events to be sent."""


class Worker:
    """A worker for one queue of a site.

    Args:
        settings: The site's.
        queue: Which queue it serves.
        redis_url: The ledger's Redis.
        until_empty: Whether it stops by itself once no step is pending on its queue.
    """

    def __init__(self, *, settings: Settings, queue: QueueSettings, redis_url: str, until_empty: bool = False) -> None:
        self._settings = settings
        self._queue = queue
        self._redis_url = redis_url
        self._until_empty = until_empty
        self.id = f"{queue.name}@{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._node = f"{self.id.replace('@', '-')}@{socket.gethostname()}"
        self._registry = load_step_modules(settings.step_modules)
        self._app: Celery = make_site_app(settings, redis_url)
        register(self._app)
        self._publisher = Publisher(self._app)
        self._ledger = Ledger(settings, url=redis_url)
        self._nudge = Nudge()
        self._letters = DeadLetters(ledger=self._ledger, worker_id=self.id, nudge=self._nudge)
        self._board = ChildBoard(queue.concurrency) if queue.pool == "prefork" else None
        self._events_flag = memoryview(bytearray(1)) if self._board is None else self._board.events_flag
        self._event_thread = EventThread(self._app, self._node)
        self._switch = EventSwitch(self._events_flag, count_running=lambda: len((self._children or self._held).names()))
        self._held = HeldSteps(self._events(self._ledger, self._switch))
        self._pulse = Pulse.make(settings.lease_s)
        limits = ValueLimits(settings.max_value_bytes, settings.max_depth)
        self._own_processes = OwnProcesses(limits=limits, pulse=self._pulse)
        self._children = self._watch_children(self._board)
        self._received = Received(queue.name, self._nudge.set)
        self._keeper = self._make_keeper()
        self._ending = Ending(
            keeper=self._keeper,
            letters=self._letters,
            own_processes=self._own_processes,
            board=self._board,
            children=self._children,
            shutdown_s=settings.shutdown_s,
        )

    def run(self) -> int:
        """Work until told to stop; returns the exit code."""
        self._ledger.site.check_server()
        self._connect_signals()
        self._hear_remote_control()
        take_in_parcels(self._app, self._letters, self._received, queue=self._queue.name)
        if self._board is None:
            self._work_on_threads()
        worker = self._app.Worker(
            hostname=self._node,
            queues=[self._queue.name],
            pool=self._queue.pool,
            concurrency=self._queue.concurrency,
            prefetch_multiplier=self._queue.prefetch,
            optimization="fair",
            loglevel=self._settings.log_level,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        )
        worker.start()
        self._keeper.leave()
        self._letters.flush()
        self._own_processes.close()
        self._event_thread.flush(LAST_EVENTS_S)
        return int(worker.exitcode or 0)

    # set-up -------------------------------------------------------------------------------------------------------

    def _watch_children(self, board: ChildBoard | None) -> ChildWatch | None:
        if board is None:
            return None
        return ChildWatch(
            board=board,
            ledger=self._ledger,
            publisher=self._publisher,
            worker_id=self.id,
            nudge=self._nudge,
            events=self._events(self._ledger, self._switch),
        )

    def _events(self, ledger: Ledger, outlet: Outlet) -> StepEvents:
        return StepEvents(
            flag=self._events_flag,
            outlet=outlet,
            read=lambda run_id, first, count: ledger.read(run_id, first=first, count=count),
        )

    def _hear_remote_control(self) -> None:
        """Take over what Flower asks of a worker."""
        keep_to_settings()
        self._switch.install(self._app)
        events = self._events(self._ledger, self._switch)
        Revoking(
            ledger=self._ledger,
            publisher=self._publisher,
            nudge=self._nudge,
            events=events,
            queue=self._queue.name,
        ).install()

    def _make_keeper(self) -> Keeper:
        info = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "pool": self._queue.pool,
            "slots": self._queue.concurrency,
            "started_ms": round(time.time() * 1000),
        }
        return Keeper(
            ledger=self._ledger,
            publisher=self._publisher,
            settings=self._settings,
            card=KeeperCard(
                worker_id=self.id,
                queue=self._queue.name,
                info=json.dumps(info),
                known={definition.name: definition.facts().to_json() for definition in self._registry},
                received=self._received,
            ),
            held=self._children or self._held,
            declared_dead=self._end_as_dead,
            nudge=self._nudge,
            children=self._children or self._held,
            after_tick=self._after_beat,
        )

    def _kit(self, ledger: Ledger, publisher: Publisher, is_draining: Callable[[], bool]) -> Kit:
        return Kit(
            settings=self._settings,
            ledger=ledger,
            publisher=publisher,
            worker_id=self.id,
            is_draining=is_draining,
            nudge=self._nudge,
            registry=self._registry,
            events=self._events(ledger, self._event_thread),
        )

    def _work_on_threads(self) -> None:
        kit = self._kit(self._ledger, self._publisher, lambda: self._ending.is_draining)
        kit.own_processes = self._own_processes
        if any(definition.isolation is not None for definition in self._registry):
            self._own_processes.warm()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        obey_signals_in_forks()
        slots = Slots(self._queue.concurrency)
        gate_by_slots(self._app, slots)
        set_pipeline(SidePipeline(kit=kit, slots=slots, held=self._held).run)

    def _begin_child(self, **_: Any) -> None:
        """In a new child: nothing inherited that speaks to Redis is used again."""
        board = self._board
        if board is None:
            return
        os.setsid()  # what its steps start is known by it, and ended with it
        ledger = Ledger(self._settings, url=self._redis_url)
        # What is told of a step is told where it runs; the parent's thread, if it had one, is not here.
        self._event_thread = EventThread(self._app, self._node)
        kit = self._kit(ledger, Publisher(self._app), lambda: board.is_draining)
        obey_signals_in_forks()
        process = current_process()
        process._config["daemon"] = False  # no daemon in the sense of multiprocessing, which forbids those children
        slot = board.free_slot(getattr(process, "index", 0))
        self._pulse.watch(lambda: os._exit(LOST_WORKER_EXIT) if board.give_back(slot) else None)
        set_pipeline(SerialPipeline(kit=kit, board=board, slot=slot).run)

    def _end_child(self, **_: Any) -> None:
        self._event_thread.flush(LAST_EVENTS_S)

    def _connect_signals(self) -> None:
        # Kept strongly: Celery holds receivers weakly by default, and these are bound methods.
        signals.setup_logging.connect(keep_to_own_logging, weak=False)
        signals.worker_process_init.connect(self._begin_child, weak=False)
        signals.worker_process_shutdown.connect(self._end_child, weak=False)
        signals.worker_ready.connect(self._begin, weak=False)
        signals.worker_shutting_down.connect(self._ending.drain, weak=False)

    # life ---------------------------------------------------------------------------------------------------------

    def _begin(self, sender: Any, **_: Any) -> None:
        """Enter the site once children and consumer are there, and before the first message is taken."""
        try:
            self._keeper.join()
        except BrokerUnavailable as error:  # Celery would swallow it, and every claim be refused
            logger.error("cannot enter the site: %s", error)
            end_process(START_AGAIN_EXIT)
        self._pulse.show()
        self._keeper.start()
        self._ending.take_signals()
        if self._board is not None:
            sender.hub.call_repeatedly(CHILDREN_TENDED_EVERY_S, sender.pool.maintain_pool)
            silent = self._silent_children(self._board, sender.pool)
            sender.hub.call_repeatedly(SEEN_EVERY_S, silent.tend)
        logger.info("worker %s is ready: %s", self.id, self._queue.pool)

    def _after_beat(self, sent_s: float) -> None:
        self._pulse.confirm(sent_s)
        self._drain_if_due()

    def _silent_children(self, board: ChildBoard, pool: Any) -> SilentChildren:
        within_s = BEATS_MISSED * self._settings.heartbeat_s

        def hears_redis() -> bool:
            return self._pulse.is_heard(time.monotonic(), within_s)

        return SilentChildren(board=board, jobs=lambda: jobs_of(pool), hears_redis=hears_redis)

    def _drain_if_due(self) -> None:
        """Stop for a new start when haunted; for good when nothing is left to do, where that was asked for."""
        self._letters.flush()
        if self._keeper.sees_one_dying:
            self._prepare_for_suspects()
        self._drain_if_haunted()
        if self._until_empty and not self._ending.is_draining:
            self._drain_if_empty()

    def _drain_if_empty(self) -> None:
        with fork_gate():
            pending = self._ledger.site.queues([self._queue.name])[0].pending
        if not pending:
            logger.info("no step is pending on %s: this worker is done", self._queue.name)
            os.kill(os.getpid(), signal.SIGTERM)

    def _prepare_for_suspects(self) -> None:
        """Be ready to run the steps of a dying worker in processes of their own, which takes long where nothing is."""
        if self._board is None and not self._ending.is_draining:
            self._own_processes.warm()

    def _drain_if_haunted(self) -> None:
        """Stop for a new start when too many threads run code whose steps have settled."""
        zombies = len(shared_threads().zombies) + len(shared_loop().zombies)
        if zombies >= self._settings.zombie_limit and not self._ending.is_draining:
            logger.warning("%d zombies: this worker drains and is to be started again", zombies)
            os.kill(os.getpid(), signal.SIGTERM)

    def _end_as_dead(self) -> None:
        logger.error("worker %s was taken for dead, its steps run elsewhere: ending", self.id)
        self._ending.end_as_dead()
