"""What the ledger holds of the site as a whole: its workers, queues, lanes, counts, dead letters, and its server."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from config.limits import OLDEST_REDIS
from steps.errors import UnfitRedis
from steps.ledger.connection import Scripts
from steps.ledger.dead_letter import DeadLetter
from steps.ledger.keys import dead_letters_key, key_root
from steps.ledger.records import LaneFacts, QueueFacts, WorkerCard

EPOCH_SPAN: Final = 2**40
"""Sequences of one epoch; the scripts have the same number in run.lua."""

DEAD_LETTERS_KEPT: Final = 1_000
"""Messages that were set aside and are still there to look at, the newest."""


class SiteRecords:
    """Reads what no single run tells; single commands, as a look at a site need not be one atomic step.

    Args:
        scripts: The connection to read on.
        prefix: The site's key prefix.

    Every method raises `BrokerUnavailable` where Redis does not answer in time.
    """

    def __init__(self, scripts: Scripts, prefix: str) -> None:
        self._scripts = scripts
        self._root = key_root(prefix)
        self._dead_letters = dead_letters_key(prefix)

    def workers(self) -> tuple[WorkerCard, ...]:
        """Return the live workers."""
        ids = sorted(self._scripts.members_of(f"{self._root}workers"))
        cards = [(name.decode(), self._scripts.hash_of(f"{self._root}worker:{name.decode()}")) for name in ids]
        claims = self._scripts.hash_sizes([f"{self._root}claims:{name}" for name, _ in cards])
        return tuple(
            WorkerCard(name, card[b"queue"].decode(), card[b"info"], count)
            for (name, card), count in zip(cards, claims, strict=True)
            if b"queue" in card
        )

    def queues(self, names: Sequence[str]) -> list[QueueFacts]:
        """Return how much each queue holds, and since when."""
        pending = self._scripts.hash_of(f"{self._root}pending")
        ends = self._scripts.line_ends([f"{self._root}backlog:{name}" for name in names])
        return [
            QueueFacts(int(pending.get(name.encode(), 0)), oldest, newest)
            for name, (_, oldest, newest) in zip(names, ends, strict=True)
        ]

    def lanes(self) -> list[LaneFacts]:
        """Return the lanes in use, by name."""
        held = sorted(self._scripts.hash_of(f"{self._root}lanes").items())
        lines = self._scripts.line_ends([f"{self._root}lane:{lane.decode()}" for lane, _ in held])
        return [
            _lane_of(lane.decode(), text.decode(), size) for (lane, text), (size, _, _) in zip(held, lines, strict=True)
        ]

    def runs(self, *, is_open: bool, first: int, count: int) -> list[str]:
        """Return ids of open runs, the last accepted first, or of settled ones, the last settled first."""
        return self._scripts.newest_of(f"{self._root}{'open' if is_open else 'closed'}_runs", first, count)

    def open_count(self) -> int:
        """Return how many runs are open."""
        return self._scripts.line_ends([f"{self._root}open_runs"])[0][0]

    def backlog(self, queue: str, first: int, count: int) -> list[str]:
        """Return ids of the runs with unsettled steps on a queue, the first accepted first."""
        return self._scripts.oldest_of(f"{self._root}backlog:{queue}", first, count)

    def counts(self) -> dict[str, int]:
        """Return the counts of the whole site, by name."""
        return {name.decode(): int(count) for name, count in self._scripts.hash_of(f"{self._root}stats").items()}

    def step_counts(self) -> dict[str, dict[str, int]]:
        """Return the counts of each step, by step and by what is counted."""
        found: dict[str, dict[str, int]] = {}
        for field, count in self._scripts.hash_of(f"{self._root}step_stats").items():
            what, _, step = field.decode().partition("|")
            found.setdefault(step, {})[what] = int(count)
        return found

    def known_steps(self) -> dict[str, bytes]:
        """Return the facts of the steps that workers listed in the last day, JSON by name."""
        return {name.decode(): facts for name, facts in self._scripts.hash_of(f"{self._root}known").items()}

    def server_facts(self) -> Mapping[str, Any]:
        """Return what the server says of itself: version, mode, memory, persistence and the rest of INFO."""
        return self._scripts.server_facts()

    def config_facts(self) -> Mapping[str, str]:
        """Return how the server persists and evicts, by name of the directive; empty where it does not let us ask."""
        return self._scripts.config_facts()

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

    def rollbacks(self) -> tuple[int, float | None]:
        """Return how often Redis came back with older data, and when that was last seen (epoch ms)."""
        sequence, at_ms = self._scripts.hash_values(f"{self._root}site", ["seq", "epoch_at"])
        return int(sequence or 0) // EPOCH_SPAN, None if at_ms is None else float(at_ms)

    def dead_letters(self, count: int = DEAD_LETTERS_KEPT) -> tuple[DeadLetter, ...]:
        """Return the messages that were set aside last, the newest first."""
        found = self._scripts.head_of(self._dead_letters, count)
        return tuple(DeadLetter.decode(entry) for entry in found)

    def set_aside(self, letters: Sequence[DeadLetter]) -> None:
        """Keep messages that were not understood; their times are of this machine, those kept are Redis time."""
        ahead_ms = self._scripts.now_ms() - time.time() * 1000
        entries = [replace(letter, at_ms=round(letter.at_ms + ahead_ms, 3)).encode() for letter in letters]
        self._scripts.keep_newest(self._dead_letters, entries, DEAD_LETTERS_KEPT)


def _lane_of(lane: str, text: str, in_line: int) -> LaneFacts:
    holder, _, since_us = text.partition("|")
    return LaneFacts(lane, holder, int(since_us) / 1000, in_line)
