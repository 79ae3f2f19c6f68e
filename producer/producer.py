"""The way in: submits batches as runs, and attaches to runs of any process."""

import logging
import os
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Unpack

from config.settings import Settings, load_settings
from producer.connections import Connections
from producer.launcher.embedded import find_site
from producer.open_run import new_run_id, to_open
from producer.planning.batch import Batch, BatchOptions, parse_batch
from producer.planning.batch_calls import StepSpec
from producer.planning.plan import Plan
from producer.queue_view import SiteQueues, WorkerView
from producer.result import Result
from producer.rule_reload import reload_on_sighup
from producer.run import Run
from producer.run_meta import RunMeta
from producer.run_status import RunState, RunStatus
from producer.site_plans import SitePlans
from producer.site_statistics import Statistics
from steps.definition import StepFacts
from steps.errors import BrokerUnavailable, NewEpoch, NoAnswer, SubmitUnknown
from steps.ledger.records import Ready

logger = logging.getLogger(__name__)

NO_SITE: Final = (
    "STEPLINE_REDIS_URL is not set and no site is up in {folder}: start one with `stepline up`, "
    "or name its Redis in STEPLINE_REDIS_URL"
)


class Producer:
    """Submits batches to a site; usable from many threads, and again in a forked child.

    Args:
        settings: By default those of the environment.
        redis_url: The site's Redis; by default the settings', else that of the site that is up in the data folder.

    Raises:
        SettingsError: A setting is wrong.
        BrokerUnavailable: No Redis is named and no site is up.
    """

    def __init__(self, settings: Settings | None = None, redis_url: str | None = None) -> None:
        self.settings = load_settings() if settings is None else settings
        url = redis_url or self.settings.redis_url or find_site(self.settings)
        if url is None:
            raise BrokerUnavailable(NO_SITE.format(folder=self.settings.data_dir))
        self._connections = Connections(self.settings, url)
        self._plans = SitePlans(self.settings, self._connections)
        _producers.add(self)

    def submit(self, steps: Iterable[StepSpec], **options: Unpack[BatchOptions]) -> Run:
        """Accept a batch as a run, or refuse it whole; returns at once.

        Args:
            steps: Names, or calls as ``{name, id, params, timeout, retries, critical, lane}``.
            options: Any of `BatchOptions`: ``context``, ``deadline`` (seconds), ``order``, ``strategy``, ``mode``,
                ``max_concurrency``, ``lane``, ``then``, ``name``, ``priority`` (``high``: 5 more), ``after`` (ids of
                runs that must have settled before this one begins; its deadline counts from then),
                ``idempotency_key`` (submitting the same batch again under it returns the run that is there),
                ``supersede`` (a place such as ``view:42``: the run that has it is cancelled), ``queue_timeout``
                (seconds until its first step must have started, else nothing of it starts).

        Raises:
            InvalidBatch: With all that is wrong; nothing was written.
            QueueFull: No room; nothing was written.
            StoreFull: Redis has no memory left for it (a `BrokerUnavailable`); nothing was written.
            BrokerUnavailable: Redis cannot be reached; nothing was written.
            UnfitRedis: Redis cannot carry a ledger; nothing was written.
            KeyConflict: Another batch was submitted under its idempotency key; nothing was written.
            RunUnknown: A run of ``after`` is not there; nothing was written.
            SubmitUnknown: Redis went away during the call; the run may have been accepted.
        """
        return self.submit_batch(parse_batch(steps, settings=self.settings, **options))

    def submit_batch(self, batch: Batch) -> Run:
        """Accept a batch that was read already; see `submit`."""
        run_id = new_run_id()
        try:
            return self._open(batch, run_id)
        except NewEpoch:  # planned by what the site was
            self._plans.forget_known_steps()
            return self._open(batch, run_id)

    def _open(self, batch: Batch, run_id: str) -> Run:
        plan = self.plan(batch)
        links = self._connections
        marks = links.publisher.take_marks()
        try:
            opened = links.ledger.open(to_open(plan, run_id), inbox=links.inbox.id, published=marks)
        except NoAnswer as error:
            raise SubmitUnknown(run_id) from error
        if opened.run_id is not None:  # the run that has this idempotency key already
            return self.attach(opened.run_id)
        body = None if plan.then is None else (run_id, len(plan.parcels))
        own = [parcel for parcel in opened.ready if parcel.run_id == run_id]
        links.publisher.publish(own, body=body)
        if opened.unfinished or len(own) < len(opened.ready):
            freed = tuple(parcel for parcel in opened.ready if parcel.run_id != run_id)
            links.publisher.publish(freed + self._finish(opened.unfinished))
        return Run(run_id, plan.meta(), links)

    def _finish(self, run_ids: Sequence[str]) -> tuple[Ready, ...]:
        """Go on with what a submit had others do; its own run is accepted, so it does not fail any more."""
        try:
            return self._connections.ledger.finish(run_ids)
        except BrokerUnavailable as error:
            logger.warning("a keeper is left to go on with %s: %s", ", ".join(run_ids), error)
            return ()

    def run(
        self, steps: Iterable[StepSpec], *, timeout: float | None = None, **options: Unpack[BatchOptions]
    ) -> Result:
        """Submit and gather; see `submit` and `Run.gather`."""
        return self.submit(steps, **options).gather(timeout=timeout)

    def attach(self, run_id: str) -> Run:
        """Return a handle on a run that any process submitted.

        Raises:
            RunUnknown: There is no such run, or its result has expired.
        """
        links = self._connections
        record = links.ledger.read(run_id)
        is_settled = record.is_settled or links.ledger.watch(links.inbox.id, [run_id])[run_id] == "settled"
        return Run(run_id, RunMeta.decode(record.meta), links, is_settled=is_settled)

    def plan(self, batch: Batch) -> Plan:
        """Return what a batch would become; nothing is written.

        Raises:
            InvalidBatch: With all that is wrong with it.
        """
        return self._plans.plan(batch)

    def retry(self, run_id: str) -> Run:
        """Submit, as a new run, the steps of a settled run that did not succeed.

        They keep their ids, params, classes and lanes, and the run its options but for ``after``, ``idempotency_key``,
        ``supersede`` and ``queue_timeout``; its completion body runs again behind them, with their outcomes.

        Raises:
            RunUnknown: There is no such run.
            InvalidBatch: It has not settled, or every step of it succeeded.
        """
        specs, options = self._connections.control.failures_of(run_id)
        return self.submit(specs, **options)

    def cancel(self, run_id: str, reason: str = "cancelled by its caller") -> None:
        """Cancel a run by its id; see `Run.cancel`.

        Raises:
            RunUnknown: There is no such run.
        """
        links = self._connections
        links.publisher.publish(links.ledger.cancel(run_id, reason))

    def status(self, run_id: str) -> RunStatus:
        """Return how a run stands; its state is ``not_found`` where there is none."""
        return self._connections.overview.status(run_id)

    def runs(
        self,
        *,
        state: RunState | None = None,
        name: str | None = None,
        since_s: float | None = None,
        ok: bool | None = None,
        limit: int = 50,
    ) -> list[RunStatus]:
        """Return runs, open ones first, then settled ones, each the newest first.

        Args:
            state: Only those in this state.
            name: Only those of this name.
            since_s: Only those that were accepted, or have settled, in the last so many seconds.
            ok: Only those that have settled well (True) or not (False).
            limit: At most so many.

        Raises:
            SettingsError: ``limit`` is below 0.
        """
        return self._connections.overview.runs(state=state, name=name, since_s=since_s, ok=ok, limit=limit)

    def stats(self) -> Statistics:
        """Return the statistics of the whole site."""
        return self._connections.overview.statistics(self._plans.rules)

    def queues(self) -> SiteQueues:
        """Return the queues with their workers, and the lanes in use."""
        return self._connections.overview.queues()

    def workers(self) -> tuple[WorkerView, ...]:
        """Return the live workers."""
        return self._connections.overview.workers()

    def clear_queue(self, name: str) -> int:
        """Cancel the steps on a queue that have not started; returns how many. What runs, runs on.

        Raises:
            SettingsError: There is no such queue.
        """
        return self._connections.control.clear_queue(name)

    def purge(self, *, older_than_s: float = 0.0) -> int:
        """Forget the runs that settled so long ago, their outcomes and events with them; returns how many.

        Raises:
            SettingsError: ``older_than_s`` is below 0.
        """
        return self._connections.control.purge(older_than_s)

    def expected_ms(self, plan: Plan) -> float:
        """Return how long a plan is expected to take: by what its steps took so far, else 30 s a step."""
        return self._plans.expected_ms(plan)

    def reload_rules(self) -> None:
        """Read the classification rules again; those in use stay where the new ones are wrong.

        Raises:
            SettingsError: They are.
        """
        self._plans.reload_rules()

    def reload_rules_on_sighup(self) -> None:
        """Reload the rules at every SIGHUP, then call whatever handled it before; call it in the main thread."""
        reload_on_sighup(self.reload_rules)

    def known_steps(self) -> Mapping[str, StepFacts]:
        """Return the steps that workers listed in the last day, by name."""
        return self._plans.known_steps()

    def close(self) -> None:
        """Let go of all connections; runs go on."""
        self._connections.close()

    def __enter__(self) -> "Producer":
        """Return itself, to be closed at the end of the block."""
        return self

    def __exit__(self, *_: Any) -> None:
        """Close it."""
        self.close()

    def _renew_after_fork(self) -> None:
        """In a forked child: the parent's connections are its own; made anew when they are needed, for runs too."""
        self._connections.renew_after_fork()
        self._plans.renew_after_fork()


_producers: "weakref.WeakSet[Producer]" = weakref.WeakSet()


def _renew_all_after_fork() -> None:
    for producer in list(_producers):
        producer._renew_after_fork()


os.register_at_fork(after_in_child=_renew_all_after_fork)
