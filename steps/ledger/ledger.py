"""The one seam to the run state in Redis: verbs of the domain, each a single script call."""

import json
import logging
import threading
from collections.abc import Sequence
from typing import Final, TypeAlias

from config.settings import Settings
from steps.errors import (
    BrokerUnavailable,
    InvalidBatch,
    KeyConflict,
    NewEpoch,
    QueueFull,
    RunLost,
    RunUnknown,
    StoreFull,
)
from steps.ledger import arguments, replies
from steps.ledger.connection import RedisArgument, Scripts, connect
from steps.ledger.keys import inbox_key, key_root
from steps.ledger.records import (
    Beat,
    Claimed,
    EventRecord,
    NewRun,
    Opened,
    Ready,
    RunFacts,
    RunRecord,
    Settled,
    StepFate,
    StepsCancelled,
    Ticked,
)
from steps.ledger.scripts import SCRIPTS
from steps.ledger.site_records import EPOCH_SPAN, SiteRecords
from steps.problem import Problem

logger = logging.getLogger(__name__)

ROLLED_BACK: Final = (
    "Redis came back with older data: the site's sequence is %d and was %d. Runs accepted in between are lost, "
    "outcomes fixed in between may be fixed anew"
)
EPOCH_BEGAN: Final = (
    "epoch %d of the site has begun: Redis came back with older data, and another client was first to see it"
)

Marks: TypeAlias = Sequence[tuple[str, int]]

SLICE: Final = 500
"""Entries that one script call may touch."""

STAGED_KEEP_S: Final = 600
"""How long the fields of a large run wait for their open."""

NOTICE_BYTES: Final = 32 * 1024
"""Outcomes up to this size ride in the completion notice."""

INBOX_CAP: Final = 2_000
"""Notices kept for a process that does not read them; a waiter looks for itself every second anyway."""

RUNS_A_LOOK: Final = 100
"""Runs that one call looks at or forgets."""

MOST_STEPS: Final = 1_000_000
"""More than any run has."""

ALIVE_S: Final = 60
"""How long a silent inbox counts as read."""

CANCEL_GRACE_S: Final = 5.0
"""How long running steps of a cancelled run have to stop."""


class Ledger:
    """The run state of one site.

    Args:
        settings: Names the key prefix, limits and time-outs.
        scripts: The connection to run on; by default a new one to ``url``.
        url: The Redis to connect to; needed where ``scripts`` is not given.

    Attributes:
        site: What it holds of the site as a whole.

    Every verb raises `BrokerUnavailable` where Redis does not answer in time; all are safe to repeat.
    """

    def __init__(self, settings: Settings, *, scripts: Scripts | None = None, url: str = "") -> None:
        self._settings = settings
        self._scripts = scripts or Scripts(connect(settings, url), url=url)
        self._root = key_root(settings.key_prefix)
        self._sequence = 0
        self._fell_from = 0  # from which sequence it fell, until the epoch has begun that tells so
        self._lock = threading.Lock()
        self.site = SiteRecords(self._scripts, settings.key_prefix)
        limits = (
            round(settings.republish_s * 1000),
            round(settings.lane_hold_s * 1000),
            settings.result_ttl_s,
            NOTICE_BYTES,
            INBOX_CAP,
            ALIVE_S,
            round(settings.memory_share * 1000),
        )
        self._limits = "|".join(map(str, limits))

    def _run(self, verb: str, *more: RedisArgument) -> replies.Reply:
        seen = self._sequence
        reply: replies.Reply = self._scripts.run(SCRIPTS[verb], self._root, self._limits, *more)
        self._note_sequence(int(reply[0]), seen)
        return reply

    @property
    def epoch(self) -> int:
        """How often Redis had come back with older data when it last answered."""
        return self._sequence // EPOCH_SPAN

    def _note_sequence(self, sequence: int, seen: int) -> None:
        """Tell of a Redis that came back older: the site's sequence never falls by itself.

        Args:
            sequence: That of a reply.
            seen: The highest one there was before its call was sent; replies may overtake one another.
        """
        if sequence < seen:
            logger.error(ROLLED_BACK, sequence, seen)
            self._fell_from = seen
        if fell_from := self._fell_from:
            sequence = max(sequence, self._begin_epoch(fell_from))
        with self._lock:
            was_asked, before = self._sequence > 0, self.epoch
            self._sequence = max(sequence, self._sequence)
            epoch = self.epoch
            if epoch > self._fell_from // EPOCH_SPAN:
                self._fell_from = 0
        if was_asked and epoch > before and not fell_from:
            logger.error(EPOCH_BEGAN, epoch)

    def _begin_epoch(self, seen: int) -> int:
        """Let every client see it; returns the site's sequence then. Whoever calls again begins no other."""
        try:
            reply: replies.Reply = self._scripts.run(SCRIPTS["begin_epoch"], self._root, self._limits, seen)
        except BrokerUnavailable as error:  # the next call tries again
            logger.warning("no new epoch could begin: %s", error)
            return seen
        return int(reply[0])

    # the way in ---------------------------------------------------------------------------------------------------

    def open(self, run: NewRun, *, inbox: str = "", published: Marks = ()) -> Opened:
        """Accept ``run`` whole, or change nothing; opening the same run id again returns it as it is.

        Args:
            run: What to open.
            inbox: Where the notice of its completion goes.
            published: (run, parcel) published since the last call: marks that ride along.

        Raises:
            QueueFull: A queue of the run has no room for its steps.
            StoreFull: Redis has none.
            RunUnknown: A run that it is to begin after is not there.
            NewEpoch: Redis came back with older data since this ledger last asked it.
            KeyConflict: A run with another plan has its idempotency key.
            InvalidBatch: As many runs wait for that one as may.
        """
        fields = arguments.fields_of(run)
        for at in range(0, len(fields) - 2 * SLICE, 2 * SLICE):
            self._check_room(self._run("stage", run.run_id, STAGED_KEEP_S, *fields[at : at + 2 * SLICE]))
        rest = fields[(len(fields) - 1) // (2 * SLICE) * 2 * SLICE :]
        marks = arguments.marks_of(published)
        known = arguments.open_arguments(run, inbox=inbox, marks=marks, settings=self._settings, seen=self._sequence)
        reply = self._run("open", *known, *rest)
        self._check_room(reply)
        self._check_accepted(run, reply)
        return replies.opened_of(reply)

    def _check_accepted(self, run: NewRun, reply: replies.Reply) -> None:
        if reply[1] == b"epoch":
            raise NewEpoch
        if reply[1] == b"conflict":
            raise KeyConflict(run.key, reply[2].decode())
        if reply[1] == b"full":
            raise QueueFull(reply[2].decode(), int(reply[3]), self._settings.queue_limit)
        if reply[1] == b"missing":
            raise RunUnknown(reply[2].decode())
        if reply[1] == b"crowded":
            raise InvalidBatch([Problem("after", f"run {reply[2].decode()} has {SLICE} runs waiting for it already")])

    def _check_room(self, reply: replies.Reply) -> None:
        if len(reply) > 1 and reply[1] == b"no_room":
            raise StoreFull(int(reply[2]), int(reply[3]), self._settings.memory_share)

    # the way through ----------------------------------------------------------------------------------------------

    def claim(
        self, run_id: str, parcel: int, *, worker: str, want: int, with_meta: bool, published: Marks = ()
    ) -> Claimed | None:
        """Claim up to ``want`` steps of a parcel; None where the run is gone, no steps where it is not their turn."""
        reply = self._run("claim", run_id, parcel, worker, want, int(with_meta), arguments.marks_of(published))
        return None if reply[1] == b"gone" else replies.claimed_of(*reply[2:6])

    def settle(
        self, run_id: str, parcel: int, fates: Sequence[StepFate], *, worker: str, vacated: bool = True
    ) -> Settled:
        """Fix the outcomes of claimed attempts, claiming no more; a fate whose fence is no longer valid is refused."""
        reply = self._run("settle", run_id, parcel, worker, 0, int(vacated), 0, *arguments.fates_flat(fates))
        return replies.settled_of(reply, len(fates))

    def settle_and_claim_next(
        self, run_id: str, parcel: int, fates: Sequence[StepFate], *, worker: str, want: int
    ) -> Settled:
        """Settle, then claim up to ``want`` more of the parcel; in a critical one only if the settle was accepted."""
        reply = self._run("settle_and_claim_next", run_id, parcel, worker, want, 1, 0, *arguments.fates_flat(fates))
        return replies.settled_of(reply, len(fates))

    def vacate(self, run_id: str, index: int, fence: int) -> Settled:
        """Free the lane of a settled step whose code is known to have stopped."""
        return replies.settled_of(self._run("vacate", run_id, index, fence), 1)

    def tick(self, beat: Beat) -> Ticked:
        """Bring a keeper's news and do what is due."""
        known = json.dumps(dict(beat.known))
        limits = (self._settings.known_steps_ttl_s * 1000, self._settings.critical_queue)
        news = arguments.news_of_queues(beat)
        return replies.ticked_of(self._run("tick", *arguments.beat_flat(beat, known), *limits, *news))

    # the way out --------------------------------------------------------------------------------------------------

    def watch(self, inbox: str, run_ids: Sequence[str], *, published: Marks = ()) -> dict[str, str]:
        """Add ``inbox`` to the runs' watchers; returns gone, open or settled for each."""
        states: dict[str, str] = {}
        marks = arguments.marks_of(published)
        for at in range(0, len(run_ids), SLICE):
            part: Sequence[str] = run_ids[at : at + SLICE]
            while part:  # again those that had more to end than one call may touch
                states.update(zip(part, map(bytes.decode, self._run("watch", inbox, marks, *part)[1:]), strict=True))
                part = [run_id for run_id in part if states[run_id] == "sweeping"]
        return states

    def read(self, run_id: str, *, first: int = 0, count: int = SLICE) -> RunRecord:
        """Read a run and up to 500 outcomes from ledger index ``first``.

        Raises:
            RunUnknown: There is no such run: never was, or its results have expired.
        """
        reply = self._run("read", run_id, first, count)
        if reply[1] == b"gone":
            raise RunUnknown(run_id)
        return replies.run_record_of(reply)

    def read_accepted(self, run_id: str, epoch: int, *, first: int = 0) -> RunRecord:
        """Read a run that was there in an epoch; see `read`.

        Raises:
            RunLost: It is gone, and Redis came back with older data since.
            RunUnknown: Its results have expired.
        """
        try:
            return self.read(run_id, first=first)
        except RunUnknown as error:
            if self.epoch > epoch:
                raise RunLost(run_id) from error
            raise

    def cancel(self, run_id: str, reason: str) -> tuple[Ready, ...]:
        """Cancel a run: what has not started never starts; returns what is ready to be published because of it.

        Raises:
            RunUnknown: There is no such run.
        """
        reply = self._run("cancel", run_id, reason, round(CANCEL_GRACE_S * 1000))
        if reply[1] == b"gone":
            raise RunUnknown(run_id)
        unfinished, ready = replies.names_of(reply[3]), replies.ready_of(reply[2])
        return ready + self.finish(unfinished)

    def pause(self, run_id: str) -> tuple[Ready, ...]:
        """Let nothing of a run start; what runs, runs on. Returns what is ready to be published because of it.

        Raises:
            RunUnknown: There is no such run.
        """
        return self._turn("pause", run_id)

    def resume(self, run_id: str) -> tuple[Ready, ...]:
        """Let a paused run go on; returns what is ready to be published because of it.

        Raises:
            RunUnknown: There is no such run.
        """
        return self._turn("resume", run_id)

    def _turn(self, verb: str, run_id: str) -> tuple[Ready, ...]:
        reply = self._run(verb, run_id)
        if reply[1] == b"gone":
            raise RunUnknown(run_id)
        return replies.ready_of(reply[2]) + self.finish(replies.names_of(reply[3]))

    def cancel_step(self, run_id: str, index: int, reason: str) -> tuple[Ready, ...]:
        """Cancel one step by its ledger index; one that runs is asked to stop. Returns what is ready because of it.

        Raises:
            RunUnknown: There is no such run.
        """
        return self._cancel_steps(run_id, reason, first=index, count=1, queue="", stop_running=True).ready

    def clear(self, run_id: str, queue: str, reason: str) -> StepsCancelled:
        """Cancel the steps of a run that have not started on a queue.

        Raises:
            RunUnknown: There is no such run.
        """
        return self._cancel_steps(run_id, reason, first=0, count=MOST_STEPS, queue=queue, stop_running=False)

    def _cancel_steps(
        self, run_id: str, reason: str, *, first: int, count: int, queue: str, stop_running: bool
    ) -> StepsCancelled:
        ready: tuple[Ready, ...] = ()
        cancelled = 0
        while count > 0:
            reply = self._run("cancel_steps", run_id, first, count, queue, reason, int(stop_running))
            if reply[1] == b"gone":
                raise RunUnknown(run_id)
            ready += replies.ready_of(reply[2]) + self.finish(replies.names_of(reply[3]))
            cancelled, count = cancelled + int(reply[4]), int(reply[5])
        return StepsCancelled(cancelled, ready)

    def finish(self, run_ids: Sequence[str]) -> tuple[Ready, ...]:
        """Go on with runs that had more to sweep than one call may touch, until done."""
        ready: tuple[Ready, ...] = ()
        while run_ids:
            ticked = self.tick(Beat(runs=tuple(run_ids)))
            ready += ticked.ready
            run_ids = ticked.unfinished
        return ready

    def status(self, run_ids: Sequence[str]) -> list[RunFacts | None]:
        """Return what there is to say of each run without its outcomes; None for one that is gone."""
        found: list[RunFacts | None] = []
        for at in range(0, len(run_ids), RUNS_A_LOOK):
            _, now, *rows = self._run("status", *run_ids[at : at + RUNS_A_LOOK])
            found += [replies.run_facts_of(now, row) for row in rows]
        return found

    def calls(self, run_id: str, count: int) -> list[bytes]:
        """Return the encoded calls of a run's first ``count`` steps in ledger order.

        Raises:
            RunUnknown: There is no such run.
        """
        found: list[bytes] = []
        for first in range(0, count, SLICE):
            fields = [f"d{index}" for index in range(first, min(first + SLICE, count))]
            texts = self._scripts.hash_values(f"{self._root}run:{run_id}", fields)
            found += [text for text in texts if text is not None]
        if len(found) < count:
            raise RunUnknown(run_id)
        return found

    def purge(self, *, before_ms: float) -> int:
        """Forget the runs that had settled by then (epoch ms); returns how many."""
        total, kept, seen = 0, 0, RUNS_A_LOOK
        while seen == RUNS_A_LOOK:
            _, seen, purged = self._run("purge", round(before_ms), kept, RUNS_A_LOOK)
            total, kept = total + purged, kept + seen - purged
        return total

    def events(self, run_id: str, after: str, *, count: int = SLICE) -> list[EventRecord]:
        """Return up to ``count`` events of a run after the event id given ("0": from the first one there is)."""
        entries = self._scripts.entries_after(f"{self._root}events:{run_id}", after, count)
        return [EventRecord(entry_id, fields) for entry_id, fields in entries]

    def wait_for_event(self, run_id: str, after: str, *, timeout_s: float) -> str:
        """Wait for an event of the run after the event id given; returns the last id there is then."""
        return self._scripts.next_entry(f"{self._root}events:{run_id}", after, timeout_s=timeout_s)

    def inbox_key(self, inbox: str) -> str:
        """Return the Redis list on which notices for ``inbox`` arrive."""
        return inbox_key(self._settings.key_prefix, inbox)

    def close(self) -> None:
        """Let go of the connections."""
        self._scripts.close()
