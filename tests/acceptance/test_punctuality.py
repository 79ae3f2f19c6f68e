"""Retries, time-outs and deadlines come when they are due, by the clock of the ledger, with one worker on the site."""

from collections.abc import Callable, Iterator
from random import Random
from statistics import median

import pytest

from producer import Run
from tests.support.latches import Latch
from tests.support.processes import wait_until
from tests.support.worker_sites import WorkerSite

LATE_MS = 100.0
"""At the median, what is due comes no later than this."""

EARLY_MS = 2.0
"""Clocks are read in two processes, and written down in whole milliseconds."""

EACH = 14
FIRST_S, LAST_S = 0.2, 3.0


@pytest.fixture(scope="module")
def lone_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerSite]:
    """One worker with the settings as they are shipped, and nobody for critical steps."""
    site = WorkerSite(tmp_path_factory.mktemp("lone"), scale={"critical": 0, "parallel": 1}, variables={})
    site.start()
    try:
        yield site
    finally:
        site.stop()


def test_what_is_due_at_various_moments_is_late_by_100_ms_at_most_at_the_median(
    lone_site: WorkerSite, latches: Callable[[str], Latch]
) -> None:
    submit, latch = lone_site.producer.submit, latches("held")
    due_s = [Random(3).uniform(FIRST_S, LAST_S) for _ in range(3 * EACH)]
    retried = [(submit([{"name": "GetLaterStep", "params": {"after": after}}]), after) for after in due_s[:EACH]]
    timed_out = [(submit([latch.call("GetHeldStep", timeout=limit)]), limit) for limit in due_s[EACH : 2 * EACH]]
    unserved = [(submit(["WriteEchoStep"], deadline=limit), limit) for limit in due_s[2 * EACH :]]
    # Whoever gathers brings deadlines about as well: here, the worker is to do it alone.
    wait_until(lambda: all(lone_site.is_settled(run.id) for run, _ in (*retried, *timed_out, *unserved)))
    late_ms = {
        "retries": [_between_ms(run, "step.retry", "step.started") - 1000 * after for run, after in retried],
        "time-outs": [_between_ms(run, "step.started", "step.failed") - 1000 * limit for run, limit in timed_out],
        "deadlines": [_between_ms(run, "run.started", "run.completed") - 1000 * limit for run, limit in unserved],
    }
    for what, found in late_ms.items():
        assert min(found) >= -EARLY_MS, (what, found)
        assert median(found) <= LATE_MS, (what, found)


def _between_ms(run: Run, first: str, last: str) -> float:
    """Return the time from the first event of a kind to the last one of another."""
    events = list(run.events())
    begun = next(event.at_ms for event in events if event.event == first)
    return next(event.at_ms for event in reversed(events) if event.event == last) - begun
