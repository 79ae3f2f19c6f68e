"""Plain Celery as its manual has it: a group, or a chain where order matters, and results in Redis."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from celery import chain, exceptions, group
from celery.result import AsyncResult, GroupResult

from bench.celery_tasks import app, sleep_after_task, sleep_task, worker_arguments
from bench.peer import serve
from bench.workloads import Load
from producer.launcher.child import Child, Command

INTERVAL_S: Final = 0.0005
"""What the ``get`` of a group is given: by default it sleeps 0.5 s unless all is ready at the call."""

START_TIMEOUT_S: Final = 60.0
GATHER_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 6.0

ASK_AGAIN_S: Final = 1.0
"""How long one try to fetch a single result may take. Celery sends its subscription and then reads the result on
another connection, so a result that is stored between the two is missed, and ``get`` would wait for ever."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A batch that was handed in: single results, of a chain its links first to last, and a group."""

    singles: Sequence[AsyncResult] = ()
    group: GroupResult | None = None


class CeleryPeer:
    """One worker on a pool of threads."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "celery", *worker_arguments()]
        self._worker = Child(
            "celery worker",
            Command(arguments=command, environment=dict(os.environ), cwd=Path.cwd()),
            restart=None,
        )

    def start(self) -> None:
        """Start the worker and wait for its first result."""
        self._worker.start()
        sleep_task.delay(0).get(timeout=START_TIMEOUT_S)

    def submit(self, load: Load) -> UnderWay:
        """Publish a chain of the ordered steps and a group of the others; a bare step by itself."""
        if load.is_bare:
            return UnderWay([sleep_task.delay(ms) for ms in load.parallel_ms])
        links = _chain(load.ordered_ms) if load.ordered_ms else []
        return UnderWay(links, _group(load.parallel_ms) if load.parallel_ms else None)

    def gather(self, handle: UnderWay) -> Sequence[object]:
        """Wait for all of them; of a chain for the last link first, then the others are there."""
        values = [_get(result) for result in reversed(handle.singles)][::-1]
        if handle.group is not None:
            values += handle.group.get(timeout=GATHER_TIMEOUT_S, interval=INTERVAL_S)
        return values

    def workers(self) -> Mapping[str, int]:
        """Return the one worker."""
        return {} if self._worker.pid is None else {"celery": self._worker.pid}

    def stop(self) -> None:
        """End the worker."""
        self._worker.ask_to_stop()
        if not self._worker.join(STOP_TIMEOUT_S):
            self._worker.kill()
        app.close()


def _chain(ordered_ms: Sequence[int]) -> list[AsyncResult]:
    """Publish a chain and return the results of its links, first to last."""
    first, *later = ordered_ms
    link = chain(sleep_task.s(first), *(sleep_after_task.s(ms) for ms in later)).apply_async()
    links = []
    while link is not None:
        links.append(link)
        link = link.parent
    return links[::-1]


def _get(result: AsyncResult) -> object:
    give_up_at = time.monotonic() + GATHER_TIMEOUT_S
    while True:
        try:
            return result.get(timeout=ASK_AGAIN_S, follow_parents=False)  # or it asks for all of them meanwhile
        except exceptions.TimeoutError:
            if time.monotonic() > give_up_at:
                raise


def _group(parallel_ms: Sequence[int]) -> GroupResult:
    return group(sleep_task.s(ms) for ms in parallel_ms).apply_async()


if __name__ == "__main__":
    serve(CeleryPeer())
