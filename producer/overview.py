"""What a site tells of itself: runs as they stand, statistics, queues and workers."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeGuard

from config.errors import SettingsError
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
        live = Counter(card.queue for card in self._ledger.site.workers())
        waits_for = what_it_waits_for(
            run_id, facts, live=live, id_of=self._ids_of(run_id, facts), leaders=self._open_leaders(facts)
        )
        return status_of(run_id, facts, waits_for)

    def runs(
        self, *, state: RunState | None, name: str | None, since_s: float | None, ok: bool | None, limit: int
    ) -> list[RunStatus]:
        """Return the runs that fit, the newest first: open ones, then settled ones."""
        if limit < 0:
            raise SettingsError(f"limit must be 0 or more runs, not {limit!r}")

        def fits(run: RunStatus) -> bool:
            return (state in (None, run.state)) and (name in (None, run.name)) and (ok in (None, run.ok))

        found = (run for run in self._all(state, since_s) if fits(run))
        return list(islice(found, limit))

    def statistics(self, rules: Rules) -> Statistics:
        """Return the statistics of the whole site, and those of these rules."""
        return statistics_of(
            self._ledger.site.counts(),
            self._ledger.site.step_counts(),
            active=self._ledger.site.open_count(),
            queues=self.queues(),
            rules=rules,
        )

    def queues(self) -> SiteQueues:
        """Return the queues, their workers, and the lanes in use."""
        settings, workers = self._settings, self.workers()
        facts = self._ledger.site.queues([queue.name for queue in settings.queues])
        return SiteQueues(
            queues=tuple(
                queue_view(queue, one, workers, max_size=settings.queue_limit)
                for queue, one in zip(settings.queues, facts, strict=True)
            ),
            lanes=tuple(lane_view(lane) for lane in self._ledger.site.lanes()),
        )

    def workers(self) -> tuple[WorkerView, ...]:
        """Return the live workers, by queue and id."""
        views = [worker_view(card) for card in self._ledger.site.workers()]
        return tuple(sorted(views, key=lambda worker: (worker.queue, worker.worker_id)))

    def _open_leaders(self, facts: RunFacts) -> list[str]:
        """Return those of the runs a waiting run begins after that are open."""
        if not int(facts.plain["waits"] or 0):
            return []
        leaders = facts.plain["after"].split(",")
        found = zip(leaders, self._ledger.status(leaders), strict=True)
        return [leader for leader, one in found if one is not None and one.plain["state"] == "open"]

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
        seen: set[str] = set()  # a run that settles meanwhile stands in both lists
        for is_open in kinds:
            for run in self._newest(since_s, is_open=is_open):
                if run.run_id not in seen:
                    seen.add(run.run_id)
                    yield run

    def _newest(self, since_s: float | None, *, is_open: bool) -> Iterator[RunStatus]:
        first = 0
        while ids := self._ledger.site.runs(is_open=is_open, first=first, count=RUNS_A_LOOK):
            first += len(ids)
            found = zip(ids, self._ledger.status(ids), strict=True)
            recent = [status_of(run_id, facts) for run_id, facts in found if _is_recent(facts, since_s)]
            yield from recent
            # Runs stand in line by the end of their completion bodies: an old one may stand before newer ones.
            if since_s is not None and not recent:
                return


def _is_recent(facts: RunFacts | None, since_s: float | None) -> TypeGuard[RunFacts]:
    """Whether a run is there, and was accepted or has settled in the last so many seconds."""
    if facts is None or since_s is None:
        return facts is not None
    last_us = int(facts.plain["settled_at"] or facts.plain["created"])
    return facts.now_ms - last_us / 1000 <= since_s * 1000
