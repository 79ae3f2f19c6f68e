"""The thread in every worker that keeps time: heartbeat, leases, what is due, what was lost on the way."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from config.settings import Settings
from producer.publish import Publisher
from steps.errors import BrokerUnavailable
from steps.ledger import Ledger
from steps.ledger.records import Beat, Ready, Ticked
from workers.fork_gate import fork_gate
from workers.leases import Leases
from workers.nudge import Nudge
from workers.outage import RECONNECT_S, Outage
from workers.received import Received

logger = logging.getLogger(__name__)

LIST_STEPS_EVERY_S: Final = 600.0
"""How often a worker repeats which steps it knows, at the longest."""

LISTINGS_A_TTL: Final = 3
"""A worker repeats them so often within the time after which the ledger forgets them."""

SHORTEST_NAP_S: Final = 0.005
"""Ticks are at least so far apart, however much is due."""

CHILDREN_SEEN_EVERY_S: Final = 0.25
"""How often a prefork parent looks after its children: a dead one's step runs again within a second."""

LOOKS_IN_A_LEASE: Final = 4
"""The next tick comes within this part of what is left of a lease. What has passed since the last answer when Redis
goes away does not count, so the fewer seconds are left, the less of them may be lost."""

MOST_HEARTBEATS: Final = 2
"""What counts at most between two ticks."""

LEAVE_TRIES: Final = 20
"""Slices of claims that an announced end gives back before it leaves the rest to the other keepers."""


@dataclass(frozen=True, slots=True)
class KeeperCard:
    """Who a keeper's worker is, and what it gets.

    Args:
        worker_id: New at every start.
        queue: What it serves.
        info: JSON about it for others to read.
        known: The facts of the steps it knows, JSON by name.
        received: What it has got from its queue.
    """

    worker_id: str
    queue: str
    info: str
    known: Mapping[str, str]
    received: Received


class Held(Protocol):
    """What a worker has claimed and not settled."""

    def names(self) -> tuple[str, ...]:
        """Return run:index of each; a claim that the ledger has beyond them lost its answer on the way."""
        ...

    def stop(self, run_id: str, index: int) -> None:
        """Stop a step if it runs here."""
        ...


class Children(Protocol):
    """The processes in which a worker runs steps."""

    def tend(self) -> None:
        """Do for them what time demands."""
        ...

    def dead_claims(self) -> tuple[tuple[str, int], ...]:
        """Return (run:index, fence) of those that died by themselves, again until `acknowledge`."""
        ...

    def acknowledge(self, claims: tuple[tuple[str, int], ...]) -> None:
        """Take note that the ledger has taken these claims back."""
        ...


class Keeper:
    """Beats for one worker and does, with all the others, what time demands.

    Args:
        ledger: The site's ledger.
        publisher: Sends what became ready.
        settings: Heartbeat and lease.
        card: Who this worker is.
        nudge: Set where something new falls due: the next tick is then made at once and learns when.
        after_tick: Called after every heartbeat that the ledger has confirmed, with the monotonic time it was sent at.
        children: The processes in which its steps run; None where there are none.
        held: What this worker has claimed and not settled; what the ledger has beyond it, is taken back.
        declared_dead: Called, once, when the site took this worker for dead.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        publisher: Publisher,
        settings: Settings,
        card: KeeperCard,
        held: Held,
        declared_dead: Callable[[], None],
        nudge: Nudge,
        children: Children | None = None,
        after_tick: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._settings = settings
        self._card = card
        self._children = children
        self._after_tick = after_tick
        self._held = held
        self._received = card.received
        self._declared_dead = declared_dead
        self._nudge = nudge
        self._list_every_s = min(LIST_STEPS_EVERY_S, settings.known_steps_ttl_s / LISTINGS_A_TTL)
        self._leases = Leases(
            settings.lease_s, grace_s=settings.heartbeat_s + RECONNECT_S, most_s=MOST_HEARTBEATS * settings.heartbeat_s
        )
        self._outage = Outage(settings.heartbeat_s)
        self._hangs_s = min(settings.connect_timeout_s, settings.socket_timeout_s)
        self._expired: tuple[tuple[str, int], ...] = ()
        self._listed_at_s = 0.0
        self._next_due_at_s: float | None = None
        self._beat_at_s = 0.0
        self._unanswered_at_s: float | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="stepline-keeper", daemon=True)

    def join(self) -> None:
        """Enter the site, so that claims of this worker are honoured; before anything is consumed."""
        self._tick("join")

    def start(self) -> None:
        """Begin to keep time."""
        self._thread.start()

    def stop(self, within_s: float | None = None) -> bool:
        """Beat no more; within a lease the others would take this worker for dead.

        Args:
            within_s: How long to wait for a tick under way; by default as long as Redis may take to answer.

        Returns:
            Whether none is under way any more.
        """
        self._stopping.set()
        self._nudge.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._settings.socket_timeout_s if within_s is None else within_s)
        return not self._thread.is_alive()

    @property
    def sees_one_dying(self) -> bool:
        """Whether a worker has not beaten for half a lease: soon its steps may run elsewhere."""
        left_s = self._leases.next_lapse_s
        return left_s is not None and left_s < self._settings.lease_s / 2

    def unanswered_s(self) -> float:
        """Return for how long Redis has not answered; 0 where it has answered all that it was asked."""
        since = self._unanswered_at_s
        return 0.0 if since is None else time.monotonic() - since

    def leave(self, *, keeps_messages: bool = False) -> None:
        """Sign off: what this worker still holds is given back at once, and nobody counts it as a death.

        Args:
            keeps_messages: Whether the broker will not be given back those that are not acknowledged; others are sent.
        """
        self.stop()
        if not keeps_messages:
            self._received.forget_all()
        try:
            for _ in range(LEAVE_TRIES):
                if self._tick("leave").standing != "leaving":
                    return
        except BrokerUnavailable as error:
            logger.warning("could not sign off, the others will notice within the lease: %s", error)

    def _keep(self) -> None:
        while not self._stopping.is_set():
            is_nudged = self._nudge.wait(self._pause_s())
            if self._stopping.is_set():
                return
            began_s = time.monotonic()
            try:
                if self._children is not None:
                    self._children.tend()
                if is_nudged or self._is_time():
                    sent_at_s = time.monotonic()
                    ticked = self._tick("beat")
                    if ticked.standing == "dead":
                        self._declared_dead()
                        return
                    self._after_tick(sent_at_s)
            except BrokerUnavailable as error:
                self._miss(error, began_s)
            except Exception:  # without its keeper a worker is as good as dead
                self._leases.pause()
                self._expired = ()
                logger.exception("a tick broke")

    def _miss(self, error: BrokerUnavailable, began_s: float) -> None:
        """Redis did not answer: let no lease run on meanwhile, and try again soon."""
        self._expired = ()
        now_s = time.monotonic()
        if now_s - began_s < self._hangs_s:
            self._leases.pause()
        else:  # the network swallows what is sent: others may hang as long once it no longer does
            self._leases.forget()
        self._beat_at_s = now_s + self._outage.miss(error)

    def _pause_s(self) -> float:
        at_s = self._beat_at_s if self._next_due_at_s is None else min(self._beat_at_s, self._next_due_at_s)
        until_s = max(at_s - time.monotonic(), SHORTEST_NAP_S)
        return until_s if self._children is None else min(until_s, CHILDREN_SEEN_EVERY_S)

    def _is_time(self) -> bool:
        """Whether a tick is due: a beat, something of the ledger's, or a child has died."""
        now_s = time.monotonic()
        if now_s >= self._beat_at_s or (self._next_due_at_s is not None and now_s >= self._next_due_at_s):
            return True
        return self._children is not None and bool(self._children.dead_claims())

    def _tick(self, mode: str) -> Ticked:
        dead_claims = self._children.dead_claims() if self._children is not None else ()
        beat = self._beat(mode, dead_claims)
        asked_at_s = time.monotonic()
        self._unanswered_at_s = self._unanswered_at_s or asked_at_s
        self._next_due_at_s = None
        self._beat_at_s = asked_at_s + self._settings.heartbeat_s
        with fork_gate():
            ticked = self._ledger.tick(beat)
        answered_at_s = time.monotonic()
        self._unanswered_at_s = None
        self._outage.end()
        if self._children is not None:
            self._children.acknowledge(dead_claims)
        self._received.acknowledge(beat.came_out)
        if beat.known:
            self._listed_at_s = answered_at_s
        self._watch_leases(ticked.beats, asked_at_s, answered_at_s)
        if ticked.next_due_s is not None:
            self._next_due_at_s = answered_at_s + max(ticked.next_due_s, 0.0)
        self._carry_out(ticked)
        return ticked

    def _watch_leases(self, beats: Mapping[str, int], asked_at_s: float, answered_at_s: float) -> None:
        """Note who has beaten; come again sooner the nearer a lease is to its end, and at once where it has lapsed."""
        others = {worker: count for worker, count in beats.items() if worker != self._card.worker_id}
        before, self._expired = self._expired, self._leases.note(others, asked_s=asked_at_s, answered_s=answered_at_s)
        fresh = set(self._expired) - set(before)
        for worker, _ in fresh:
            logger.warning("worker %s has not beaten for a lease: what it ran is taken back", worker)
        if fresh:
            self._beat_at_s = answered_at_s
        elif (lapse_s := self._leases.next_lapse_s) is not None:
            soon_s = max(lapse_s / LOOKS_IN_A_LEASE, min(lapse_s, self._settings.heartbeat_s / LOOKS_IN_A_LEASE))
            self._beat_at_s = min(self._beat_at_s, answered_at_s + soon_s)

    def _beat(self, mode: str, dead_claims: tuple[tuple[str, int], ...]) -> Beat:
        is_listing = mode == "join" or time.monotonic() - self._listed_at_s > self._list_every_s
        return Beat(
            worker_id=self._card.worker_id,
            mode=mode,
            queue=self._card.queue,
            info=self._card.info,
            known=self._card.known if is_listing and mode != "leave" else {},
            reap=self._expired,
            dead_claims=dead_claims,
            held=self._held.names(),
            published=self._publisher.take_marks(),
            received=self._received.parcels(),
            came_out=self._received.came_out(),
        )

    def _carry_out(self, ticked: Ticked) -> None:
        # First, as the ledger tells them once only: all else is told again where Redis is lost on the way.
        for run_id, index in ticked.stops:
            self._held.stop(run_id, index)
        with fork_gate():
            ready = ticked.ready + self._ledger.finish(ticked.unfinished)
            empty = self._empty(ticked)
            self._publisher.publish(ready + self._lost(ticked.maybe_lost, empty))
            self._probe(ticked.probes, empty)

    def _empty(self, ticked: Ticked) -> set[str]:
        """Return the queues in question that hold no message."""
        queues = {parcel.queue for parcel in ticked.maybe_lost} | {queue for queue, _ in ticked.probes}
        return {queue for queue in queues if self._publisher.depth(queue) == 0}

    def _lost(self, candidates: tuple[Ready, ...], empty: set[str]) -> tuple[Ready, ...]:
        """Return the unclaimed parcels whose queue holds no message any more: theirs were lost."""
        return tuple(parcel for parcel in candidates if parcel.queue in empty)

    def _probe(self, probes: tuple[tuple[str, int], ...], empty: set[str]) -> None:
        """Send the probes whose queue holds messages; from an empty one all has come out, as a probe would say."""
        for queue, probe in probes:
            if queue in empty:
                self._received.need_not_wait(queue, probe)
            else:
                self._publisher.send_probe(queue, probe)
