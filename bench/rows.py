"""The rows of the tables: who runs the batches, and how."""

from typing import Final

from config.limits import CONCURRENCY_RANGE

CELERY: Final = "plain Celery"
CELERY_BARE: Final = "plain Celery, delay()"
"""Plain Celery where a batch is one step, sent and fetched without a group."""

STEPLINE: Final = "Stepline"

RAISED_CONCURRENCY: Final = CONCURRENCY_RANGE[1]
STEPLINE_RAISED: Final = f"Stepline, max_concurrency={RAISED_CONCURRENCY}"
"""Stepline where each batch asks for more of its steps at once than the default; the workers are the same."""

ROWS: Final = (CELERY, CELERY_BARE, STEPLINE, STEPLINE_RAISED)

PEERS: Final = {CELERY: "bench.celery_peer", STEPLINE: "bench.stepline_peer"}
"""The modules of the peers, each a process that runs one row or more."""

HOW: Final = {
    CELERY: (
        "one worker on a pool of 20 threads, prefetch 4, results in Redis; no events, gossip, mingle, heartbeat or "
        "remote control; a `group` and `get(interval=0.0005)`, without which it naps for 0.5 s; a `chain` where order "
        "matters"
    ),
    CELERY_BARE: "the same worker; one step is sent by `delay()` and fetched by `get()`, without a group",
    STEPLINE: (
        "one worker on `critical` (prefork, 1) and one on `parallel` (20 threads), as `stepline up` starts them, "
        "default settings, so at most 10 steps of a batch at once"
    ),
    STEPLINE_RAISED: "the same workers; each batch asks for that `max_concurrency`, and the worker's 20 places decide",
}
