"""The one seam to the run state in Redis: verbs of the domain, each a single script call."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from config.limits import OLDEST_REDIS
from config.settings import Settings
from steps.errors import QueueFull, RunUnknown, UnfitRedis
from steps.ledger import replies
from steps.ledger.connection import RedisArgument, Scripts, connect
from steps.ledger.keys import inbox_key, key_root
from steps.ledger.records import (
    Beat,
    Claimed,
    NewRun,
    Opened,
    Ready,
    RunRecord,
    Settled,
    StepFate,
    Ticked,
    WorkerCard,
)
from steps.ledger.scripts import SCRIPTS

Marks: TypeAlias = Sequence[tuple[str, int]]

SLICE: Final = 500
"""Entries that one script call may touch."""

STAGED_KEEP_S: Final = 600
"""How long the fields of a large run wait for their open."""

NOTICE_BYTES: Final = 32 * 1024
"""Outcomes up to this size ride in the completion notice."""

INBOX_CAP: Final = 2_000
"""Notices kept for a process that does not read them; a waiter looks for itself every second anyway."""

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

    Every verb raises `BrokerUnavailable` where Redis does not answer in time; all are safe to repeat.
    """

    def __init__(self, settings: Settings, *, scripts: Scripts | None = None, url: str = "") -> None:
        self._settings = settings
        self._scripts = scripts or Scripts(connect(settings, url), url=url)
        self._root = key_root(settings.key_prefix)
        limits = (
            round(settings.republish_s * 1000),
            round(settings.lane_hold_s * 1000),
            settings.result_ttl_s,
            NOTICE_BYTES,
            INBOX_CAP,
            ALIVE_S,
        )
        self._limits = "|".join(map(str, limits))

    def _run(self, verb: str, *arguments: RedisArgument) -> replies.Reply:
        reply: replies.Reply = self._scripts.run(SCRIPTS[verb], self._root, self._limits, *arguments)
        return reply

    # the way in ---------------------------------------------------------------------------------------------------

    def open(self, run: NewRun, *, inbox: str = "", published: Marks = ()) -> Opened:
        """Accept ``run`` whole, or change nothing; opening the same run id again returns it as it is.

        Args:
            run: What to open.
            inbox: Where the notice of its completion goes.
            published: (run, parcel) published since the last call: marks that ride along.

        Raises:
            QueueFull: A queue of the run has no room for its steps.
        """
        fields = replies.fields_of(run)
        for at in range(0, len(fields) - 2 * SLICE, 2 * SLICE):
            self._run("stage", run.run_id, STAGED_KEEP_S, *fields[at : at + 2 * SLICE])
        rest = fields[(len(fields) - 1) // (2 * SLICE) * 2 * SLICE :]
        lanes, queues = replies.counts_of(run)
        steps, parcels = len(run.calls) - run.has_body, len(run.parcels) - run.has_body
        reply = self._run(
            "open",
            run.run_id,
            inbox,
            self._settings.queue_limit,
            round(run.deadline_s * 1000),
            steps,
            run.critical_count,
            run.max_concurrency,
            self._settings.parcel_size,
            "c" if run.critical_first else "o",
            "b" if run.stops_at_failure else "s",
            run.critical_parcels,
            parcels,
            "1" if run.has_body else "",
            lanes,
            queues,
            replies.marks_of(published),
            *rest,
        )
        if reply[1] == b"full":
            raise QueueFull(reply[2].decode(), int(reply[3]), self._settings.queue_limit)
        return replies.opened_of(reply)

    # the way through ----------------------------------------------------------------------------------------------

    def claim(self, run_id: str, parcel: int, *, worker: str, want: int, with_meta: bool) -> Claimed | None:
        """Claim up to ``want`` steps of a parcel; None where the run is gone, no steps where it is not their turn."""
        reply = self._run("claim", run_id, parcel, worker, want, int(with_meta))
        return None if reply[1] == b"gone" else replies.claimed_of(*reply[2:6])

    def settle(
        self, run_id: str, parcel: int, fates: Sequence[StepFate], *, worker: str, vacated: bool = True
    ) -> Settled:
        """Fix the outcomes of claimed attempts, claiming no more; a fate whose fence is no longer valid is refused."""
        reply = self._run("settle", run_id, parcel, worker, 0, int(vacated), 0, *replies.fates_flat(fates))
        return replies.settled_of(reply, len(fates))

    def settle_and_claim_next(
        self, run_id: str, parcel: int, fates: Sequence[StepFate], *, worker: str, want: int
    ) -> Settled:
        """Settle, then claim up to ``want`` more of the parcel; in a critical one only if the settle was accepted."""
        reply = self._run("settle_and_claim_next", run_id, parcel, worker, want, 1, 0, *replies.fates_flat(fates))
        return replies.settled_of(reply, len(fates))

    def vacate(self, run_id: str, index: int, fence: int) -> Settled:
        """Free the lane of a settled step whose code is known to have stopped."""
        return replies.settled_of(self._run("vacate", run_id, index, fence), 1)

    def tick(self, beat: Beat) -> Ticked:
        """Bring a keeper's news and do what is due."""
        known = json.dumps(dict(beat.known))
        known_ttl_ms = self._settings.known_steps_ttl_s * 1000
        return replies.ticked_of(self._run("tick", *replies.beat_flat(beat, known), known_ttl_ms))

    # the way out --------------------------------------------------------------------------------------------------

    def watch(self, inbox: str, run_ids: Sequence[str], *, published: Marks = ()) -> dict[str, str]:
        """Add ``inbox`` to the runs' watchers; returns gone, open or settled for each."""
        states: dict[str, str] = {}
        marks = replies.marks_of(published)
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

    def finish(self, run_ids: Sequence[str]) -> tuple[Ready, ...]:
        """Go on with runs that had more to sweep than one call may touch, until done."""
        ready: tuple[Ready, ...] = ()
        while run_ids:
            ticked = self.tick(Beat(runs=tuple(run_ids)))
            ready += ticked.ready
            run_ids = ticked.unfinished
        return ready

    def wait_for_event(self, run_id: str, after: str, *, timeout_s: float) -> str:
        """Wait for an event of the run after the event id given; returns the last id there is then."""
        return self._scripts.next_entry(f"{self._root}events:{run_id}", after, timeout_s=timeout_s)

    # the site -----------------------------------------------------------------------------------------------------

    def inbox_key(self, inbox: str) -> str:
        """Return the Redis list on which notices for ``inbox`` arrive."""
        return inbox_key(self._settings.key_prefix, inbox)

    def workers(self) -> tuple[WorkerCard, ...]:
        """Return the live workers."""
        ids = sorted(self._scripts.members_of(f"{self._root}workers"))
        cards = [(name.decode(), self._scripts.hash_of(f"{self._root}worker:{name.decode()}")) for name in ids]
        return tuple(
            WorkerCard(name, card[b"queue"].decode(), card[b"info"]) for name, card in cards if b"queue" in card
        )

    def known_steps(self) -> dict[str, bytes]:
        """Return the facts of the steps that workers listed in the last day, JSON by name."""
        return {name.decode(): facts for name, facts in self._scripts.hash_of(f"{self._root}known").items()}

    def server_facts(self) -> Mapping[str, Any]:
        """Return what the server says of itself: version, mode, memory, persistence and the rest of INFO."""
        return self._scripts.server_facts()

    def check_server(self) -> None:
        """Refuse a Redis on which promises could not be kept.

        Raises:
            UnfitRedis: It is a Cluster, older than 6.2, or may evict keys.
        """
        facts = self.server_facts()
        version = str(facts.get("valkey_version") or facts.get("redis_version", "0.0"))
        if facts.get("redis_mode") == "cluster" or facts.get("server_mode") == "cluster":
            raise UnfitRedis("this Redis is a Cluster: scripts reach several runs and lanes; name a single Redis")
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
            raise UnfitRedis(f"this Redis is version {version}: 6.2 or newer is needed")
        policy = str(facts.get("maxmemory_policy", "noeviction"))
        if policy != "noeviction":
            raise UnfitRedis(f"this Redis may evict keys (maxmemory-policy {policy}): set it to noeviction")

    def close(self) -> None:
        """Let go of the connections."""
        self._scripts.close()
