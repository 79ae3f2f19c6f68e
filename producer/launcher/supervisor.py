"""A site on this machine: the embedded Redis and the worker processes, kept running and stopped whole."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from config.errors import SettingsError
from config.settings import Settings
from producer.launcher.child import Child, Restart
from producer.launcher.embedded import EmbeddedRedis
from producer.launcher.flower_process import (
    PORT_TAKEN_EXIT,
    flower_command,
    flower_environment,
    is_port_taken,
    refuse_exposed,
)
from producer.launcher.site_errors import SiteError
from producer.launcher.worker_process import worker_command, worker_environment

LiveWorkers = Callable[[str], Mapping[str, int]]
"""Given the URL of a ledger, tells how many live workers each queue has."""

READY_TIMEOUT_S: Final = 30.0
"""How long the workers may take to report live."""

READY_PAUSE_S: Final = 0.02
"""Between two looks at the ledger's list of workers while the site starts."""

KILL_TIMEOUT_S: Final = 2.5
"""How long killed workers may take to vanish."""

MOST_WORKERS: Final = 256
"""Workers of one queue that one site starts at most: beyond, a typing error is more likely than a need."""


class Site:
    """One embedded Redis and the workers of every queue, for as long as this process wants them.

    Args:
        settings: Of the site; the workers read the same from ``env``.
        live_workers: How to ask the ledger which workers are live.
        scale: Workers a queue; queues not named here have one.
        env: Environment of the workers; that of this process by default.
        cwd: Working folder of the workers; that of this process by default.
        log_dir: Where the workers' logs go; None: to the standard error of this process.
        on_exit: Called, on another thread, after each unexpected end of a process of the site.
        with_flower: Whether it starts Flower too, once the workers are live. Where its port is taken, the site does
            without.

    Attributes:
        url: URL of the site's Redis, once started.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        live_workers: LiveWorkers,
        scale: Mapping[str, int] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        log_dir: Path | None = None,
        on_exit: Callable[[Child, int], None] | None = None,
        with_flower: bool = False,
    ) -> None:
        if with_flower:
            refuse_exposed(settings)
        self._settings = settings
        self._live_workers = live_workers
        self._scale = _complete_scale(settings, scale or {})
        self._env = dict(os.environ if env is None else env)
        self._cwd = Path.cwd() if cwd is None else cwd.absolute()
        self._log_dir = log_dir
        self._on_exit = on_exit
        self._restart = Restart(settings.restart_delay_s, settings.restart_delay_cap_s)
        self._redis: EmbeddedRedis | None = None
        self._workers: list[Child] = []
        self._with_flower = with_flower
        self._flower: Child | None = None
        self.url = settings.redis_url or ""

    @property
    def workers(self) -> Sequence[Child]:
        """The worker processes of the site."""
        return tuple(self._workers)

    @property
    def redis(self) -> EmbeddedRedis | None:
        """The embedded Redis; None where the settings name a server."""
        return self._redis

    @property
    def flower(self) -> Child | None:
        """Flower; None where it was not asked for, or its port is taken."""
        return self._flower

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> Self:
        """Start Redis and the workers; return when every worker reports live.

        Raises:
            SiteError: A worker ended, or did not report live within ``timeout_s``; nothing is left running.
            NoRedisServer, SiteBusy, EmbeddedRedisFailed: See `EmbeddedRedis.start`.
            BrokerUnavailable: The server that the settings name does not answer.
        """
        try:
            if self._settings.redis_url is None:
                self._redis = EmbeddedRedis(self._settings.data_dir, restart=self._restart, on_exit=self._on_exit)
                self.url = self._redis.start().url
            before = dict(self._live_workers(self.url))
            self._start_workers()
            self._await_workers(before, timeout_s)
            self._start_flower()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every process of the site: workers by TERM, after ``shutdown_s`` by KILL, then Redis.

        Harmless when called again.

        Raises:
            SiteError: A process outlived SIGKILL.
        """
        workers, self._workers = self._workers, []
        if self._flower is not None:
            workers.append(self._flower)
            self._flower = None
        for worker in workers:
            worker.ask_to_stop()
        if stubborn := _still_there(workers, self._settings.shutdown_s):
            for worker in stubborn:
                worker.ask_to_stop(signal.SIGKILL)
            _still_there(stubborn, KILL_TIMEOUT_S)
        if self._redis is not None:
            self._redis.stop()
        _refuse_survivors(workers)

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def _start_workers(self) -> None:
        environment = worker_environment(self._env, self.url)
        for queue, count in self._scale.items():
            for number in range(1, count + 1):
                name = f"{queue}-{number}"
                command = worker_command(queue, name, environment=environment, cwd=self._cwd, log_dir=self._log_dir)
                worker = Child(f"worker {name}", command, restart=self._restart, on_exit=self._on_exit)
                self._workers.append(worker)
                worker.start()

    def _start_flower(self) -> None:
        if not self._with_flower or is_port_taken(self._settings):
            return
        environment = flower_environment(self._env, self.url)
        command = flower_command(environment=environment, cwd=self._cwd, log_dir=self._log_dir)
        self._flower = Child("flower", command, restart=self._restart, on_exit=self._flower_ended)
        self._flower.start()

    def _flower_ended(self, child: Child, code: int) -> None:
        if code == PORT_TAKEN_EXIT:
            child.start_no_more()
        if self._on_exit is not None:
            self._on_exit(child, code)

    def _await_workers(self, before: Mapping[str, int], timeout_s: float) -> None:
        """Wait until as many more workers are live as were started.

        Workers of a site that was killed are listed until their lease has lapsed, so those seen ``before``
        count only while they are still listed.
        """
        started = time.monotonic()
        base = dict(before)
        while True:
            live = self._live_workers(self.url)
            lapsed = time.monotonic() - started > 2 * self._settings.lease_s
            base = {queue: 0 if lapsed else min(count, live.get(queue, 0)) for queue, count in base.items()}
            missing = [q for q, count in self._scale.items() if live.get(q, 0) < base.get(q, 0) + count]
            if not missing:
                return
            self._refuse_ended()
            if time.monotonic() - started > timeout_s:
                raise SiteError(f"No live worker on {', '.join(missing)} within {timeout_s:g} s.{self._logs()}")
            time.sleep(READY_PAUSE_S)

    def _refuse_ended(self) -> None:
        for worker in self._workers:
            if worker.exits:
                how = f"ended with code {worker.exits[0]} before it was live"
                raise SiteError(f"The {worker.name} {how}.{_log_of(worker)}")

    def _logs(self) -> str:
        return "".join(_log_of(worker) for worker in self._workers)


def _complete_scale(settings: Settings, scale: Mapping[str, int]) -> dict[str, int]:
    queues = [queue.name for queue in settings.queues]
    for queue, count in scale.items():
        if queue not in queues:
            raise SettingsError(f"scale names the queue {queue!r}; the queues are {', '.join(queues)}")
        if not 0 <= count <= MOST_WORKERS:
            raise SettingsError(f"scale wants {count} workers on {queue}; 0 to {MOST_WORKERS} are allowed")
    return {queue: scale.get(queue, 1) for queue in queues}


def _still_there(workers: Sequence[Child], timeout_s: float) -> list[Child]:
    """Wait for all of them together; return those that are not gone within ``timeout_s``."""
    give_up_at = time.monotonic() + timeout_s
    return [worker for worker in workers if not worker.join(give_up_at - time.monotonic())]


def _refuse_survivors(workers: Sequence[Child]) -> None:
    left = [f"{pid} of the {worker.name}" for worker in workers for pid in worker.survivors]
    left += [f"{worker.pid} of the {worker.name}" for worker in workers if worker.is_tended]
    if left:
        raise SiteError(f"These processes did not end, even when killed: {'; '.join(left)}.")


def _log_of(worker: Child) -> str:
    tail = worker.log_tail()
    return f"\nThe log of the {worker.name} ends:\n{tail}" if tail else ""
