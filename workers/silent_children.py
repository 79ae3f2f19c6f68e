"""Ends prefork children that took a parcel and claim nothing of it: they hang in code that is not a step's."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from workers.child_board import ChildBoard
from workers.processes import kill

logger = logging.getLogger(__name__)

CLAIMS_WITHIN_S: Final = 5.0
"""How long a child may have a parcel without holding a step of it, while Redis answers its parent."""

SEEN_EVERY_S: Final = 0.5
"""How often the parent looks for such children."""

Job = tuple[int, int]
"""The number of a job of Celery's pool, and the child that it was given to."""


class SilentChildren:
    """Looks after the parcels of a prefork parent that nobody works on. No step is to blame, and none is blamed.

    Args:
        board: What the children say they run.
        jobs: What the children have been given and not answered.
        hears_redis: Whether Redis answers; where it does not, no child can claim anything.
    """

    def __init__(
        self, *, board: ChildBoard, jobs: Callable[[], Iterable[Job]], hears_redis: Callable[[], bool]
    ) -> None:
        self._board = board
        self._jobs = jobs
        self._hears_redis = hears_redis
        self._silent_since: dict[Job, float] = {}

    def tend(self) -> None:
        """End the children that have been silent for too long."""
        now, holding = time.monotonic(), {hold.pid for hold in self._board.holds()}
        silent = [job for job in self._jobs() if job[1] not in holding] if self._hears_redis() else []
        self._silent_since = {job: self._silent_since.get(job, now) for job in silent}
        for (_, pid), since in self._silent_since.items():
            if now - since > CLAIMS_WITHIN_S:
                logger.warning("child %d has had a parcel for %.1f s and claims nothing: ending it", pid, now - since)
                kill(pid)


def jobs_of(pool: Any) -> Iterator[Job]:
    """Return the jobs of a Celery prefork pool, those not accepted yet included; for the thread of that pool."""
    for number, job in pool._pool._cache.items():
        process = job._write_to or job._scheduled_for
        pid = job._worker_pid or (process.pid if process is not None else None)
        if pid is not None:
            yield number, pid
