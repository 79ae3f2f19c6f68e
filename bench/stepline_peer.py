"""Stepline as a backend uses it: one producer, and the workers that ``stepline up`` starts, by default settings."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

from bench.peer import WrongResults, serve
from bench.stepline_steps import ORDERED_STEP, PARALLEL_STEP
from bench.workloads import Load
from config.settings import load_settings
from producer import Producer, Run
from producer.cli.live import live_workers_by
from producer.launcher.supervisor import Site

GATHER_TIMEOUT_S: Final = 60.0


class SteplinePeer:
    """A site of one worker a queue, on the Redis of ``STEPLINE_REDIS_URL``."""

    def __init__(self) -> None:
        self._settings = load_settings()
        self._site = Site(self._settings, live_workers=live_workers_by(self._settings), cwd=Path.cwd())
        self._open = ExitStack()

    def start(self) -> None:
        """Start the site; its workers are live then."""
        self._open.enter_context(self._site)
        self._producer = self._open.enter_context(closing(Producer(self._settings, self._site.url)))

    def submit(self, load: Load) -> Run:
        """Submit the batch, ordered and parallel steps beside each other."""
        calls: list[dict[str, Any]] = [{"name": ORDERED_STEP, "params": {"ms": ms}} for ms in load.ordered_ms]
        calls += [{"name": PARALLEL_STEP, "params": {"ms": ms}} for ms in load.parallel_ms]
        return self._producer.submit(calls, order="overlap", max_concurrency=load.max_concurrency)

    def gather(self, handle: Run) -> Sequence[object]:
        """Wait for the run."""
        result = handle.gather(timeout=GATHER_TIMEOUT_S)
        if not result.ok:
            raise WrongResults(f"not ok: {[outcome.as_dict() for outcome in result.outcomes if not outcome.ok]}")
        return [outcome.value for outcome in result.outcomes]

    def workers(self) -> Mapping[str, int]:
        """Return the workers by the names of their queues."""
        return {worker.name.removeprefix("worker "): worker.pid for worker in self._site.workers if worker.pid}

    def stop(self) -> None:
        """End the site."""
        self._open.close()


if __name__ == "__main__":
    serve(SteplinePeer())
