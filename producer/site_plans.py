"""Makes the plans of a producer: by the rules, the steps of this process, and those that workers say they have."""

import threading
import time
from collections.abc import Mapping
from typing import Final

from config.rules import Rules
from config.settings import Settings
from producer.connections import Connections
from producer.planning.batch import Batch
from producer.planning.expectation import expected_ms
from producer.planning.plan import Plan
from producer.planning.planner import make_plan
from producer.site_statistics import expected_step_ms
from steps.classifier import classifier_of
from steps.definition import StepFacts
from steps.registry import StepRegistry, nearest_names

KNOWN_STEPS_KEPT_S: Final = 5.0
"""How long what workers publish of their steps is taken as read."""


class SitePlans:
    """Plans batches for a site; usable from many threads.

    Args:
        settings: The site's.
        connections: The producer's.

    Raises:
        SettingsError: The rules file is wrong.
    """

    def __init__(self, settings: Settings, connections: Connections) -> None:
        self._settings = settings
        self._connections = connections
        self._registry = StepRegistry()
        self._classifier = classifier_of(settings)
        self._known: Mapping[str, StepFacts] = {}
        self._known_at = float("-inf")
        self._lock = threading.Lock()

    @property
    def rules(self) -> Rules:
        """The rules in use."""
        return self._classifier.rules

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
            settings=self._settings,
        )

    def expected_ms(self, plan: Plan) -> float:
        """Return how long a plan is expected to take: by what its steps took so far, else 30 s a step."""
        counts = self._connections.ledger.site.step_counts()
        return expected_ms(plan, lambda name: expected_step_ms(counts.get(name, {})))

    def reload_rules(self) -> None:
        """Read the rules again; those in use stay where the new ones are wrong.

        Raises:
            SettingsError: They are.
        """
        self._classifier = classifier_of(self._settings)

    def known_steps(self) -> Mapping[str, StepFacts]:
        """Return the steps that workers listed in the last day, by name."""
        facts = self._connections.ledger.site.known_steps()
        return {name: StepFacts.from_json(text) for name, text in sorted(facts.items())}

    def forget_known_steps(self) -> None:
        """Ask anew which steps there are: the site is not what it was."""
        with self._lock:
            self._known_at = float("-inf")

    def renew_after_fork(self) -> None:
        """In a forked child: the lock may be held for ever by a thread of the parent."""
        self._lock = threading.Lock()

    def _find_facts(self, name: str) -> StepFacts | None:
        with self._lock:
            known, is_old = self._known, time.monotonic() - self._known_at > KNOWN_STEPS_KEPT_S
        if is_old:  # not read under the lock: where Redis does not answer, nobody waits for the others too
            known = self.known_steps()
            with self._lock:
                self._known, self._known_at = known, time.monotonic()
        return known.get(name)

    def _nearest(self, name: str) -> list[str]:
        return nearest_names(name, {*self._registry.names(), *self._known})
