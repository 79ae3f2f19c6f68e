"""The way in: submits batches as runs, and attaches to runs of any process."""

import os
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from typing import Any, Final, Unpack

from config.settings import Settings, load_settings
from producer.connections import Connections
from producer.launcher.embedded import find_site
from producer.open_run import new_run_id, to_open
from producer.planning.batch import Batch, BatchOptions, parse_batch
from producer.planning.batch_calls import StepSpec
from producer.planning.plan import Plan
from producer.planning.planner import make_plan
from producer.result import Result
from producer.run import Run
from producer.run_meta import RunMeta
from steps.classifier import classifier_of
from steps.definition import StepFacts
from steps.errors import BrokerUnavailable, SubmitUnknown
from steps.ledger.connection import NoAnswer
from steps.registry import StepRegistry, nearest_names

KNOWN_STEPS_KEPT_S: Final = 5.0
"""How long what workers publish of their steps is taken as read."""

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
        self._registry = StepRegistry()
        self._classifier = classifier_of(self.settings)
        self._known: dict[str, StepFacts] = {}
        self._known_at = float("-inf")
        self._known_lock = threading.Lock()
        self._connections = Connections(self.settings, url)
        _producers.add(self)

    def submit(self, steps: Iterable[StepSpec], **options: Unpack[BatchOptions]) -> Run:
        """Accept a batch as a run, or refuse it whole; returns at once.

        Args:
            steps: Names, or calls as ``{name, id, params, timeout, retries, critical, lane}``.
            options: Any of `BatchOptions`: ``context``, ``deadline`` (seconds), ``order``, ``strategy``, ``mode``,
                ``max_concurrency``, ``lane``, ``then``.

        Raises:
            InvalidBatch: With all that is wrong; nothing was written.
            QueueFull: No room; nothing was written.
            BrokerUnavailable: Redis cannot be reached; nothing was written.
            UnfitRedis: Redis cannot carry a ledger; nothing was written.
            SubmitUnknown: Redis went away during the call; the run may have been accepted.
        """
        return self.submit_batch(parse_batch(steps, settings=self.settings, **options))

    def submit_batch(self, batch: Batch) -> Run:
        """Accept a batch that was read already; see `submit`."""
        plan = self.plan(batch)
        run_id = new_run_id()
        links = self._connections
        marks = links.publisher.take_marks()
        try:
            opened = links.ledger.open(to_open(plan, run_id), inbox=links.inbox.id, published=marks)
        except NoAnswer as error:
            raise SubmitUnknown(run_id) from error
        body = None if plan.then is None else (run_id, len(plan.parcels))
        links.publisher.publish(opened.ready, body=body)
        return Run(run_id, plan.meta(), links)

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
        return make_plan(
            batch,
            find_facts=self._find_facts,
            find_definition=self._registry.find,
            nearest=self._nearest,
            classifier=self._classifier,
            settings=self.settings,
        )

    def known_steps(self) -> Mapping[str, StepFacts]:
        """Return the steps that workers listed in the last day, by name."""
        facts = self._connections.ledger.known_steps()
        return {name: StepFacts.from_json(text) for name, text in sorted(facts.items())}

    def close(self) -> None:
        """Let go of all connections; runs go on."""
        self._connections.close()

    def __enter__(self) -> "Producer":
        """Return itself, to be closed at the end of the block."""
        return self

    def __exit__(self, *_: Any) -> None:
        """Close it."""
        self.close()

    def _find_facts(self, name: str) -> StepFacts | None:
        with self._known_lock:
            if name not in self._known and time.monotonic() - self._known_at > KNOWN_STEPS_KEPT_S:
                self._known, self._known_at = dict(self.known_steps()), time.monotonic()
            return self._known.get(name)

    def _nearest(self, name: str) -> list[str]:
        return nearest_names(name, {*self._registry.names(), *self._known})

    def _renew_after_fork(self) -> None:
        """In a forked child: the parent's connections are its own; made anew when they are needed, for runs too."""
        self._connections.renew_after_fork()
        self._known_lock = threading.Lock()


_producers: "weakref.WeakSet[Producer]" = weakref.WeakSet()


def _renew_all_after_fork() -> None:
    for producer in list(_producers):
        producer._renew_after_fork()


os.register_at_fork(after_in_child=_renew_all_after_fork)
