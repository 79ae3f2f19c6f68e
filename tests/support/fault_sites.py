"""A site whose processes a test kills one by one, and the evidence of what became of its runs."""

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from config.settings import load_settings
from producer import Producer, Result, Run
from producer.launcher.child import Child, Restart
from producer.launcher.worker_process import worker_command, worker_environment
from steps.errors import SteplineError
from steps.ledger import Ledger
from steps.ledger.keys import key_root
from steps.registry import load_step_modules
from tests.support.fault_bugs import VARIABLE
from tests.support.fault_checker import violations
from tests.support.fault_collecting import CallersSaw, outcomes_seen, run_seen
from tests.support.fault_evidence import Death, Evidence, OutcomeSeen, RunSeen
from tests.support.fault_journal import read_journal
from tests.support.fault_redis import FaultRedis
from tests.support.fault_target import read_effects
from tests.support.processes import ROOT, children_of, clean_environment, wait_until

STEP_MODULE = "tests.support.fault_steps"
LEASE_S = 2.0
QUICK = {
    "STEPLINE_HEARTBEAT_S": "0.25",
    "STEPLINE_LEASE_S": str(LEASE_S),
    "STEPLINE_RESTART_DELAY_S": "0.05",
    "STEPLINE_RESTART_DELAY_CAP_S": "0.5",
    "STEPLINE_SHUTDOWN_S": "3",
    "STEPLINE_REPUBLISH_S": "1",
}
"""Settings with which a death is noticed after 2 s."""

AGAIN_WITHIN_S = 2 * LEASE_S + 1
"""Two leases, and a second for the machine: after it, what a dead worker ran is to run again."""

CHILD_AGAIN_WITHIN_S = 1.5
"""The same for a prefork child, which its parent sees at once: a second, and half of one for the machine."""

GATHER_S = 60.0


class FaultSite:
    """A Redis server, workers, and what callers saw.

    Args:
        folder: For everything.
        scale: Workers a queue; each is called as ``critical-1``.
        redis: By default a new one that is as durable as can be.
        plant: A bug to plant in the workers.
        variables: Settings beside `QUICK`, or in their place.
        again_within_s: How soon what a worker ran must run again when that worker was killed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        scale: Mapping[str, int] | None = None,
        redis: FaultRedis | None = None,
        plant: str = "",
        variables: Mapping[str, str] | None = None,
        again_within_s: float = AGAIN_WITHIN_S,
    ) -> None:
        self.folder = folder / "target"
        self.folder.mkdir(parents=True)
        self.redis = redis or FaultRedis(folder / "redis")
        self._logs = folder / "logs"
        self.environment = clean_environment(
            STEPLINE_DATA_DIR=str(folder / "data"),
            STEPLINE_STEP_MODULES=STEP_MODULE,
            **{VARIABLE: plant, **QUICK, **(variables or {})},
        )
        self._again_within_s = again_within_s
        self._child_again_within_s = max(CHILD_AGAIN_WITHIN_S, again_within_s - AGAIN_WITHIN_S)
        self._scale = dict(scale or {"critical": 1, "parallel": 1})
        self.workers: dict[str, Child] = {}
        self.deaths: list[Death] = []
        self.frozen: set[int] = set()
        self.runs: list[Run] = []
        self._seen: dict[str, list[tuple[OutcomeSeen, ...]]] = {}
        self._errors: dict[str, list[str]] = {}
        self._cancelled: dict[str, list[tuple[str, float]]] = {}

    def __enter__(self) -> "FaultSite":
        load_step_modules((STEP_MODULE,))
        self.redis.start()
        self.settings = load_settings(self.environment)
        self.producer = Producer(self.settings, self.redis.url)
        self.ledger = Ledger(self.settings, url=self.redis.url)
        try:
            for queue, count in self._scale.items():
                for number in range(1, count + 1):
                    self.add_worker(queue, number)
            self.wait_until_whole()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            if worker.pid:
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGCONT)
            worker.ask_to_stop(signal.SIGKILL)
        for worker in self.workers.values():
            worker.join(5)
        self.producer.close()
        self.ledger.close()
        self.redis.stop()

    # workers ------------------------------------------------------------------------------------------------------

    def add_worker(self, queue: str, number: int, *, url: str = "", **variables: str) -> Child:
        """Start a worker, over a proxy where its URL is named; it is started again when it dies."""
        name = f"{queue}-{number}"
        environment = worker_environment({**self.environment, **variables}, url or self.redis.url)
        command = worker_command(queue, name, environment=environment, cwd=ROOT, log_dir=self._logs)
        restart = Restart(self.settings.restart_delay_s, self.settings.restart_delay_cap_s)
        worker = self.workers[name] = Child(name, command, restart=restart)
        worker.start()
        return worker

    def wait_until_whole(self) -> None:
        """Wait until every worker is live and no dead one is listed."""
        wait_until(self._is_whole, 30)

    def _is_whole(self) -> bool:
        with suppress(SteplineError):
            live = {json.loads(card.info)["pid"] for card in self.ledger.site.workers()}
            return live == {worker.pid for worker in self.workers.values() if worker.is_tended}
        return False

    def worker_of(self, pid: int) -> Child:
        """Return the worker that a process is, or is a child of."""
        return next(one for one in self.workers.values() if one.pid and pid in (one.pid, *children_of(one.pid)))

    def kill(self, worker: Child, signum: signal.Signals = signal.SIGKILL) -> None:
        """Kill a worker with its children, and note the death."""
        if (pid := worker.pid) is not None:
            pids = frozenset((pid, *children_of(pid)))
            self.deaths.append(Death(pids, time.monotonic(), self._again_within_s))
            with suppress(ProcessLookupError):
                os.kill(pid, signum)

    def kill_child(self, worker: Child) -> None:
        """Kill what runs steps in a prefork worker, and note the death."""
        for pid in children_of(worker.pid or 0):
            self.deaths.append(Death(frozenset((pid,)), time.monotonic(), self._child_again_within_s))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self, worker: Child, signum: signal.Signals = signal.SIGTERM) -> None:
        """Ask a worker to end, which is no death."""
        if (pid := worker.pid) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signum)

    def freeze(self, worker: Child, *, with_children: bool = True, thaw: bool = False) -> None:
        """Stop a worker, or let it go on; its code may overlap with that of others afterwards."""
        pid = worker.pid
        assert pid is not None
        pids = [pid, *children_of(pid)] if with_children else [pid]
        self.frozen |= set(pids)
        for one in pids:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGCONT if thaw else signal.SIGSTOP)

    # runs ---------------------------------------------------------------------------------------------------------

    def write(self, step_id: str = "", *, lane: str = "", **params: Any) -> dict[str, Any]:
        """Return a call of the critical step; in the site's one lane, or a lane by name."""
        more = {"lane": lane} if lane else {}
        where = {"folder": str(self.folder), "lane": lane or self.settings.default_lane}
        return _call("WriteFaultStep", step_id, {**where, **params}, more)

    def read(self, step_id: str = "", **params: Any) -> dict[str, Any]:
        """Return a call of the step that is not critical."""
        return _call("GetFaultStep", step_id, {"folder": str(self.folder), **params}, {})

    def alone(self, step_id: str = "", **params: Any) -> dict[str, Any]:
        """Return a call of the step that runs in a process of its own."""
        return _call("GetFaultAloneStep", step_id, {"folder": str(self.folder), **params}, {})

    def submit(self, steps: Sequence[Any], **options: Any) -> Run:
        """Submit a run and keep it in evidence."""
        run = self.producer.submit(steps, **options)
        self.runs.append(run)
        return run

    def gather(self, run: Run, timeout_s: float = GATHER_S) -> Result | None:
        """Gather a run and keep in evidence what came back, or what was raised."""
        try:
            result = run.gather(timeout=timeout_s)
        except SteplineError as error:
            self._errors.setdefault(run.id, []).append(f"{type(error).__name__}: {error}")
            return None
        self.keep(run, result)
        return result

    def keep(self, run: Run, result: Result) -> None:
        """Keep in evidence what a gather returned."""
        self._seen.setdefault(run.id, []).append(outcomes_seen(result.outcomes))

    def gather_all(self, timeout_s: float = GATHER_S) -> list[Result | None]:
        """Gather all runs, within one time for them all."""
        until_s = time.monotonic() + timeout_s
        return [self.gather(run, max(0.1, until_s - time.monotonic())) for run in self.runs]

    def wait_until_closed(self, run: Run) -> None:
        """Wait until nothing of a run is left to do, its completion body included."""
        key = f"{key_root(self.settings.key_prefix)}run:{run.id}"
        wait_until(lambda: self.redis.client.hget(key, "state") == "closed", 30)

    def deaths_counted(self, run: Run) -> int:
        """Return how many deaths the ledger counts against the steps of a run."""
        return sum(self.deaths_of(run, index) for index in range(len(run._meta.steps)))

    def deaths_of(self, run: Run, index: int) -> int:
        """Return how many deaths the ledger counts of a step; none of one that has not begun."""
        fields: Any = self.redis.client.hget(f"{key_root(self.settings.key_prefix)}run:{run.id}", f"s{index}")
        return int(fields.split("|")[2]) if fields else 0

    def cancel_step(self, run: Run, step_id: str) -> None:
        """Cancel one step and keep in evidence when that returned."""
        run.cancel_step(step_id)
        self._cancelled.setdefault(run.id, []).append((step_id, time.monotonic()))

    def open_latch(self, name: str) -> None:
        (self.folder / f"{name}.open").touch()

    def latch(self, name: str) -> str:
        return str(self.folder / name)

    def wait_for(self, what: str, count: int = 1, *, step: str = "") -> list[Any]:
        """Wait for so many lines of a kind in the journal."""

        def found() -> list[Any]:
            return [one for one in read_journal(self.folder) if one.what == what and step in ("", one.step)]

        wait_until(lambda: len(found()) >= count, 30)
        return found()

    # evidence -----------------------------------------------------------------------------------------------------

    def evidence(self, **more: Any) -> Evidence:
        """Return all that is known, the deaths that steps caused themselves among it."""
        lines = read_journal(self.folder)
        by_own_hand = [Death(frozenset((one.pid,)), one.end_s, AGAIN_WITHIN_S) for one in lines if one.what == "dies"]
        return Evidence(
            runs=tuple(self._run_seen(run) for run in self.runs),
            lines=lines,
            effects=read_effects(self.folder),
            deaths=(*self.deaths, *by_own_hand),
            frozen=frozenset(self.frozen),
            **more,
        )

    def check(self, **more: Any) -> None:
        """Fail with a sentence for each invariant that does not hold."""
        found = violations(self.evidence(**more))
        assert not found, "\n".join([f"{len(found)} violations:", *found[:20]])

    def _run_seen(self, run: Run) -> RunSeen:
        callers = CallersSaw(
            gathered=tuple(self._seen.get(run.id, ())),
            errors=tuple(self._errors.get(run.id, ())),
            cancelled=tuple(self._cancelled.get(run.id, ())),
        )
        return run_seen(run, self.ledger, self.events(run.id), callers)

    def events(self, run_id: str) -> list[dict[str, str]]:
        """Return the events of a run, oldest first."""
        found: Any = self.redis.client.xrange(f"{key_root(self.settings.key_prefix)}events:{run_id}")
        return [fields for _, fields in found]

    def log(self) -> str:
        """Return the logs of all workers."""
        paths = sorted(self._logs.iterdir()) if self._logs.exists() else []
        return "\n".join(path.read_text(errors="replace") for path in paths)


def _call(name: str, step_id: str, params: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    named = {"id": step_id} if step_id else {}
    return {"name": name, "params": params, **named, **more}
