"""What a site tells of itself: runs as they stand, statistics, queues and workers."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice

from config.rules import Rules
from config.settings import Settings
from producer.queue_view import SiteQueues, WorkerView, lane_view, queue_view, worker_view
from producer.run_meta import RunMeta
from producer.run_status import RunState, RunStatus, status_of, what_it_waits_for
from producer.site_statistics import Statistics, statistics_of
from steps.errors import RunUnknown
from steps.ledger import Ledger
from steps.ledger.ledger import RUNS_A_LOOK
from steps.ledger.records import RunFacts


class Overview:
    """Reads, and changes nothing.

    Args:
        ledger: The site's.
        settings: The site's.
    """

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._settings = settings

    def status(self, run_id: str) -> RunStatus:
        """Return how a run stands; ``not_found`` where there is none."""
        (facts,) = self._ledger.status([run_id])
        if facts is None:
            return status_of(run_id, None)
        live = Counter(card.queue for card in self._ledger.workers())
        waits_for = what_it_waits_for(run_id, facts, live=live, id_of=self._ids_of(run_id, facts))
        return status_of(run_id, facts, waits_for)

    def runs(
        self, *, state: RunState | None, name: str | None, since_s: float | None, ok: bool | None, limit: int
    ) -> list[RunStatus]:
        """Return the runs that fit, the newest first: open ones, then settled ones."""

        def fits(run: RunStatus) -> bool:
            return (state in (None, run.state)) and (name in (None, run.name)) and (ok in (None, run.ok))

        found = (run for run in self._all(state, since_s) if fits(run))
        return list(islice(found, limit))

    def statistics(self, rules: Rules) -> Statistics:
        """Return the statistics of the whole site, and those of these rules."""
        return statistics_of(
            self._ledger.counts(),
            self._ledger.step_counts(),
            active=self._ledger.open_count(),
            queues=self.queues(),
            rules=rules,
        )

    def queues(self) -> SiteQueues:
        """Return the queues, their workers, and the lanes in use."""
        settings, workers = self._settings, self.workers()
        facts = self._ledger.queues([queue.name for queue in settings.queues])
        return SiteQueues(
            queues=tuple(
                queue_view(queue, one, workers, max_size=settings.queue_limit)
                for queue, one in zip(settings.queues, facts, strict=True)
            ),
            lanes=tuple(lane_view(lane) for lane in self._ledger.lanes()),
        )

    def workers(self) -> tuple[WorkerView, ...]:
        """Return the live workers, by queue and id."""
        views = [worker_view(card) for card in self._ledger.workers()]
        return tuple(sorted(views, key=lambda worker: (worker.queue, worker.worker_id)))

    def _ids_of(self, run_id: str, facts: RunFacts) -> Callable[[int], str]:
        """Return what names the steps of a run; its plan is read only where a step must be named."""
        if not facts.delayed:
            return str
        try:
            meta = RunMeta.decode(self._ledger.read(run_id, count=0).meta)
        except RunUnknown:  # it has expired since
            return str
        return lambda index: meta.at(index).id

    def _all(self, state: RunState | None, since_s: float | None) -> Iterator[RunStatus]:
        kinds = (False,) if state == "completed" else (True, False) if state is None else (True,)
        for is_open in kinds:
            yield from self._newest(since_s, is_open=is_open)

    def _newest(self, since_s: float | None, *, is_open: bool) -> Iterator[RunStatus]:
        first = 0
        while ids := self._ledger.runs(is_open=is_open, first=first, count=RUNS_A_LOOK):
            first += len(ids)
            for run_id, facts in zip(ids, self._ledger.status(ids), strict=True):
                if facts is None:
                    continue
                run = status_of(run_id, facts)
                last_ms = run.settled_ms or run.submitted_ms or 0.0
                if since_s is not None and facts.now_ms - last_ms > since_s * 1000:
                    return
                yield run
