"""Queues, workers and lanes as tables."""

from typing import Final

from producer.cli.tables import print_table
from producer.cli.times import moment, since
from producer.queue_view import LaneView, QueueView, SiteQueues, WorkerView

QUEUE_HEADS: Final = ("queue", "pool", "waiting", "running", "max", "oldest", "newest", "workers", "slots")
WORKER_HEADS: Final = ("worker", "queue", "host", "pid", "pool", "busy", "up")
LANE_HEADS: Final = ("lane", "holder", "since", "waiting")


def print_queues(queues: SiteQueues) -> None:
    """Print a table each of queues, of live workers, and of lanes in use."""
    styles = [None if queue.workers else "red" for queue in queues.queues]
    print_table(QUEUE_HEADS, [queue_row(queue) for queue in queues.queues], styles=styles)
    if workers := [worker for queue in queues.queues for worker in queue.workers]:
        print_table(WORKER_HEADS, [worker_row(worker) for worker in workers])
    if queues.lanes:
        print_table(LANE_HEADS, [lane_row(lane) for lane in queues.lanes])


def queue_row(queue: QueueView) -> tuple[str, ...]:
    """Return the cells of a queue, for `QUEUE_HEADS`; a queue without workers says so."""
    return (
        queue.name,
        queue.pool,
        str(queue.length),
        str(queue.running),
        str(queue.max_size),
        since(queue.oldest_ms),
        since(queue.newest_ms),
        str(len(queue.workers)) if queue.workers else "none",
        str(queue.slots),
    )


def worker_row(worker: WorkerView) -> tuple[str, ...]:
    """Return the cells of a worker, for `WORKER_HEADS`."""
    return (
        worker.worker_id,
        worker.queue,
        worker.host,
        str(worker.pid),
        worker.pool,
        f"{worker.busy}/{worker.slots}",
        since(worker.started_ms),
    )


def lane_row(lane: LaneView) -> tuple[str, ...]:
    """Return the cells of a lane, for `LANE_HEADS`."""
    return lane.lane, lane.holder or "-", moment(lane.since_ms), str(lane.waiting)
