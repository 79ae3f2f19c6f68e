"""Runs the rounds: in each, every peer in turn, alone on the machine, with a Redis of its own."""

import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import redis

from bench.options import Options
from bench.peer_process import PeerProcess, peer_environment
from bench.processes import cpu_s, family, machine_s, pss_mb
from bench.readings import CpuTime, IdleReading, Reading, Readings
from bench.redis_counts import read_counts
from bench.rows import CELERY, CELERY_BARE, PEERS, RAISED_CONCURRENCY, STEPLINE, STEPLINE_RAISED
from bench.workloads import WARM_UP, Load, Workload
from producer.launcher.embedded import EmbeddedRedis


def run_rounds(options: Options) -> Readings:
    """Run all rounds, the peers of each in an order drawn by lot.

    Raises:
        PeerBroke: A peer ended, did not answer, or returned a wrong result.
        NoRedisServer: There is none on this machine.
    """
    readings = Readings()
    for number in range(1, options.rounds + 1):
        order = random.sample(list(PEERS), len(PEERS))
        readings.orders.append(order)
        for row in order:
            begun = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="stepline-bench-", ignore_cleanup_errors=True) as folder:
                _run_peer(row, Path(folder), options, readings, is_last=number == options.rounds)
            _say(f"round {number} of {options.rounds}: {row}, {time.monotonic() - begun:.0f} s")
    return readings


def _run_peer(row: str, folder: Path, options: Options, readings: Readings, *, is_last: bool) -> None:
    with EmbeddedRedis(folder / "redis") as server:
        environment = peer_environment(folder, server.url)
        with (
            closing(redis.Redis.from_url(server.url)) as client,
            PeerProcess(PEERS[row], environment=environment, folder=folder) as process,
        ):
            bench = _Bench(row, process, server, client)
            readings.versions |= bench.versions()
            bench.warm_up()
            readings.all += [bench.read(*variant) for variant in _variants(row, options)]
            if is_last and options.measures_memory:
                readings.idle.append(bench.read_idle(options.idle_s))


def _variants(row: str, options: Options) -> Iterator[tuple[str, Workload, Load]]:
    """Yield what a peer runs: name of the row, workload and load."""
    for workload in options.workloads:
        load = replace(workload.load, repeats=workload.quick_repeats) if options.quick else workload.load
        yield row, workload, load
        if row == CELERY and len(load.expected) == 1:
            yield CELERY_BARE, workload, replace(load, is_bare=True)
        if row == STEPLINE and workload.raised_concurrency:
            yield STEPLINE_RAISED, workload, replace(load, max_concurrency=RAISED_CONCURRENCY)


@dataclass(frozen=True, slots=True)
class _Bench:
    """A peer that runs, and its Redis."""

    row: str
    process: PeerProcess
    server: EmbeddedRedis
    client: "redis.Redis"

    def versions(self) -> Mapping[str, str]:
        facts: Any = self.client.info("server")
        return {"Redis": facts["redis_version"], **self.process.versions}

    def warm_up(self) -> None:
        for load in WARM_UP:
            self.process.run(load)

    def read(self, row: str, workload: Workload, load: Load) -> Reading:
        """Run a load, and take what it cost; the counting is outside of what is timed."""
        counts, cpu = read_counts(self.client), self._cpu()
        answer = self.process.run(load)
        cpu, counts = self._cpu().since(cpu), read_counts(self.client).since(counts)
        batches = answer["batches"]
        return Reading(
            row=row,
            workload=workload.name,
            seconds=tuple(answer["seconds"]),
            batches=batches,
            steps=batches * len(load.expected),
            counts=counts,
            cpu=cpu,
        )

    def read_idle(self, idle_s: float) -> IdleReading:
        _say(f"{self.row}: idle for {idle_s:g} s")
        counts = read_counts(self.client)
        time.sleep(idle_s)
        pss = {name: pss_mb(family(pid)) for name, pid in self.process.workers.items()}
        return IdleReading(row=self.row, idle_s=idle_s, pss_mb=pss, counts=read_counts(self.client).since(counts))

    def _cpu(self) -> CpuTime:
        server = [] if self.server.pid is None else [self.server.pid]
        workers = [pid for worker in self.process.workers.values() for pid in family(worker)]
        own = cpu_s([self.process.pid])
        return CpuTime(own, cpu_s(workers), cpu_s(server), machine_s(), time.monotonic())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
