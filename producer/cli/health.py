"""``stepline health``: whether Redis answers and is fit, and whether this host has a live worker of a queue."""

import argparse
import json
import socket
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, Final

from config.settings import Settings, load_settings
from producer.cli.failures import NOT_OK
from producer.cli.output import emit_json, say
from producer.cli.worker import url_of
from producer.launcher.sessions import is_alive
from steps.ledger import Ledger
from steps.ledger.records import WorkerCard

OK: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalWorker:
    """A live worker of this host; ``started_ms`` is epoch ms."""

    worker_id: str
    queue: str
    pid: int
    pool: str
    slots: int
    started_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What was found of a Redis that answers and is fit: workers here, of ``queue`` where one was asked for."""

    host: str
    queue: str | None
    workers: tuple[LocalWorker, ...]

    @property
    def problem(self) -> str | None:
        """What is wrong, as a sentence, or None."""
        if self.queue is None or self.workers:
            return None
        return f"no live worker of {self.queue} on {self.host}: it ended, is starting, or the site took it for dead"

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` promises."""
        workers = [asdict(worker) for worker in self.workers]
        return {
            "ok": self.problem is None,
            "host": self.host,
            "queue": self.queue,
            "workers": workers,
            "problem": self.problem,
        }


def execute(options: argparse.Namespace) -> int:
    """Say whether all is well; what is wrong with Redis itself is raised."""
    settings = load_settings()
    if options.queue is not None:
        settings.queue(options.queue)
    health = _examine(settings, options.queue)
    if options.json:
        emit_json(health.as_dict())
    else:
        say(health.problem or _in_words(health))
    return OK if health.problem is None else NOT_OK


def local_workers(cards: Iterable[WorkerCard], host: str, queue: str | None) -> tuple[LocalWorker, ...]:
    """Return the workers of this host, of ``queue`` where one is given, whose processes are there.

    The ledger lists a killed worker until another one's keeper misses its beat, so its process is looked at too.
    """
    found = [(card, json.loads(card.info)) for card in cards if queue in (None, card.queue)]
    return tuple(
        LocalWorker(
            worker_id=card.worker_id,
            queue=card.queue,
            pid=info["pid"],
            pool=info["pool"],
            slots=info["slots"],
            started_ms=info["started_ms"],
        )
        for card, info in found
        if info["host"] == host and is_alive(info["pid"])
    )


def _examine(settings: Settings, queue: str | None) -> Health:
    host = socket.gethostname()
    with closing(Ledger(settings, url=url_of(settings))) as ledger:
        ledger.site.check_server()
        return Health(host=host, queue=queue, workers=local_workers(ledger.site.workers(), host, queue))


def _in_words(health: Health) -> str:
    of_queue = "" if health.queue is None else f" of {health.queue}"
    return f"healthy: Redis answers and is fit; live workers{of_queue} on {health.host}: {len(health.workers)}"
