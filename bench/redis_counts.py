"""What a stretch of work made Redis do: the difference between two of its own counts."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import redis

PUBLISH_COMMAND: Final = "lpush"
"""Kombu sends each message by one LPUSH, and neither the ledger's scripts nor Celery's results use it."""

OWN_COMMAND: Final = "info"
"""What counting itself costs: one command and one request between two counts."""

COMMAND_PREFIX: Final = "cmdstat_"


@dataclass(frozen=True, slots=True)
class RedisCounts:
    """Counts since the server began, or between two moments.

    Args:
        commands: Calls by command; those that scripts make are among them.
        requests: Reads from clients' sockets: a pipeline is one.
    """

    commands: Counter[str] = field(default_factory=Counter)
    requests: int = 0

    @property
    def all_commands(self) -> int:
        """Calls of all commands."""
        return self.commands.total()

    @property
    def messages(self) -> int:
        """Messages that were published."""
        return self.commands[PUBLISH_COMMAND]

    def __add__(self, other: "RedisCounts") -> "RedisCounts":
        return RedisCounts(self.commands + other.commands, self.requests + other.requests)

    def since(self, before: "RedisCounts") -> "RedisCounts":
        """Return what came after ``before``, without the counting."""
        return RedisCounts(self.commands - before.commands, self.requests - before.requests - 1)


def read_counts(client: "redis.Redis") -> RedisCounts:
    """Return the server's counts (``INFO commandstats`` and ``total_reads_processed``)."""
    info: Any = client.info("all")
    return counts_of(info)


def counts_of(info: Mapping[str, Any]) -> RedisCounts:
    """Return the counts in an answer to INFO; commands are named without their subcommands."""
    commands: Counter[str] = Counter()
    for name, facts in info.items():
        if name.startswith(COMMAND_PREFIX):
            commands[name.removeprefix(COMMAND_PREFIX).partition("|")[0]] += int(facts["calls"])
    del commands[OWN_COMMAND]
    return RedisCounts(commands, int(info["total_reads_processed"]))
