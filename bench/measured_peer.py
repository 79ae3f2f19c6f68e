"""A peer with a Redis of its own, and what its work costs: times, Redis' counts, the processor, memory."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from bench.code_tree import CodeTree
from bench.peer_process import PeerProcess, peer_environment
from bench.processes import cpu_s, family, machine_s, pss_mb
from bench.readings import CpuTime, IdleReading, Reading
from bench.redis_counts import read_counts
from bench.rows import PEERS
from bench.workloads import WARM_UP, Load, Workload
from producer.launcher.embedded import EmbeddedRedis


@dataclass(frozen=True, slots=True)
class MeasuredPeer:
    """A peer that runs, and its Redis.

    Args:
        row: Which peer.
        process: The peer.
        server: The server that it uses, alone.
        client: Counts what the server does.
    """

    row: str
    process: PeerProcess
    server: EmbeddedRedis
    client: "redis.Redis"

    def versions(self) -> Mapping[str, str]:
        """Return what takes part, by name."""
        facts: Any = self.client.info("server")
        return {"Redis": facts["redis_version"], **self.process.versions}

    def warm_up(self) -> None:
        """Run what nobody times, so that connections, threads and children are there."""
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
        """Let the workers do nothing for a while, and take their memory."""
        counts = read_counts(self.client)
        time.sleep(idle_s)
        pss = {name: pss_mb(family(pid)) for name, pid in self.process.workers.items()}
        return IdleReading(row=self.row, idle_s=idle_s, pss_mb=pss, counts=read_counts(self.client).since(counts))

    def _cpu(self) -> CpuTime:
        server = [] if self.server.pid is None else [self.server.pid]
        workers = [pid for worker in self.process.workers.values() for pid in family(worker)]
        own = cpu_s([self.process.pid])
        return CpuTime(own, cpu_s(workers), cpu_s(server), machine_s(), time.monotonic())


@contextmanager
def measured_peer(row: str, folder: Path, code: CodeTree | None = None) -> Iterator[MeasuredPeer]:
    """Start a peer and its Redis for the block.

    Args:
        row: Which peer, one of `PEERS`.
        folder: Where all of its files are kept.
        code: What it runs; the working tree by default.

    Raises:
        PeerBroke: It did not start, or could not stop cleanly.
        NoRedisServer: There is none on this machine.
    """
    code = code or CodeTree()
    with EmbeddedRedis(folder / "redis") as server:
        environment = peer_environment(folder, server.url, root=code.root)
        with (
            closing(redis.Redis.from_url(server.url)) as client,
            PeerProcess(PEERS[row], environment=environment, folder=folder, python=str(code.python)) as process,
        ):
            yield MeasuredPeer(row, process, server, client)
