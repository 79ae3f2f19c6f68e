"""A site of real worker processes for tests, with what can be seen of it from outside."""

import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import redis

from config.settings import load_settings
from producer import Producer
from producer.cli.live import live_workers_by
from producer.launcher.child import Child
from producer.launcher.supervisor import Site
from steps.ledger import Ledger
from steps.ledger.keys import key_root
from steps.registry import load_step_modules
from tests.support.processes import ROOT, children_of, clean_environment, wait_until

STEP_MODULES = (
    "tests.support.held_steps",
    "tests.support.own_process_steps",
    "tests.support.worker_steps",
    "examples.view_switch.steps",
    "examples.view_switch.ten_sleeps",
)


class WorkerSite:
    """An embedded Redis, workers, and a producer for them.

    Args:
        folder: For the data and the logs.
        scale: Workers a queue.
        variables: Settings of the site.
        with_flower: Whether Flower runs too.
    """

    def __init__(
        self, folder: Path, *, scale: Mapping[str, int], variables: Mapping[str, str], with_flower: bool = False
    ) -> None:
        self.folder = folder
        self.environment = clean_environment(
            STEPLINE_DATA_DIR=str(folder / "data"), STEPLINE_STEP_MODULES=",".join(STEP_MODULES), **variables
        )
        self.settings = load_settings(self.environment)
        load_step_modules(self.settings.step_modules)
        self._site = Site(
            self.settings,
            live_workers=live_workers_by(self.settings),
            scale=scale,
            env=self.environment,
            cwd=ROOT,
            log_dir=folder / "logs",
            with_flower=with_flower,
        )

    def start(self) -> None:
        self._site.start()
        self.producer = Producer(self.settings, self.url)
        self._ledger = Ledger(self.settings, url=self.url)
        self._redis = redis.Redis.from_url(self.url, decode_responses=True)
        self._root = key_root(self.settings.key_prefix)

    def stop(self) -> None:
        self._redis.close()
        self._ledger.close()
        self.producer.close()
        self._site.stop()

    @property
    def url(self) -> str:
        return self._site.url

    def joining(self, **variables: str) -> dict[str, str]:
        """Return the environment of a further process that joins this site."""
        return {**self.environment, "STEPLINE_REDIS_URL": self.url, **variables}

    def worker(self, name: str) -> Child:
        return next(one for one in self._site.workers if one.name == f"worker {name}")

    def worker_of(self, pid: int) -> Child:
        """Return the worker that a process is, or is a child of."""
        return next(one for one in self._site.workers if one.pid and pid in (one.pid, *children_of(one.pid)))

    def flower_pid(self) -> int | None:
        """Return the process of Flower, if there is one now."""
        return None if self._site.flower is None else self._site.flower.pid

    def restart_redis(self) -> None:
        """End the embedded Redis and wait until its site has started it again."""
        server = self._site.redis
        assert server is not None
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGTERM)
        wait_until(lambda: server.pid not in (None, first))

    def child_pids(self) -> set[int]:
        """Return the prefork children of all workers."""
        return {pid for worker in self._site.workers if worker.pid for pid in children_of(worker.pid)}

    def kill(self, worker: Child, signum: signal.Signals = signal.SIGKILL) -> None:
        """Signal a worker's parent process, which its site starts again."""
        assert worker.pid is not None
        os.kill(worker.pid, signum)

    def wait_until_whole(self) -> None:
        """Wait until every queue has as many live workers as the site has processes, and no dead one is listed."""
        wait_until(lambda: self._live_pids() == {worker.pid for worker in self._site.workers})

    def _live_pids(self) -> set[int]:
        return {json.loads(card.info)["pid"] for card in self._ledger.site.workers()}

    def events(self, run_id: str) -> list[dict[str, str]]:
        """Return the events of a run, oldest first."""
        return [fields for _, fields in self._redis.xrange(f"{self._root}events:{run_id}")]

    def deaths(self, run_id: str) -> int:
        """Return how many deaths of workers the ledger has counted against steps of a run."""
        fields = self._redis.hgetall(f"{self._root}run:{run_id}")
        return sum(int(text.split("|")[2]) for name, text in fields.items() if name[0] == "s" and name[1:].isdecimal())

    def is_settled(self, run_id: str) -> bool:
        """Whether every step of a run has its outcome."""
        return self._ledger.read(run_id).is_settled

    def is_closed(self, run_id: str) -> bool:
        """Whether nothing of a run is left to do, its completion body included."""
        return self._redis.hget(f"{self._root}run:{run_id}", "state") == "closed"

    def claims(self) -> list[str]:
        """Return what all workers have claimed and not vacated, as RUN:INDEX."""
        return [claim for key in self._redis.scan_iter(f"{self._root}claims:*") for claim in self._redis.hkeys(key)]

    def log(self) -> str:
        """Return the logs of all workers."""
        with suppress(FileNotFoundError):
            return "\n".join(path.read_text() for path in sorted((self.folder / "logs").iterdir()))
        return ""
