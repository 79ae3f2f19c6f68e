"""What every pipeline of a worker works with."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, TypeVar

from config.settings import Settings
from producer.publish import Publisher
from steps.attempt import ValueLimits
from steps.errors import BrokerUnavailable
from steps.ledger import Ledger
from steps.ledger.records import RunRecord, Settled, StepFate
from steps.registry import StepRegistry
from workers.nudge import Nudge
from workers.own_process import OwnProcesses
from workers.step_events import StepEvents, silent

logger = logging.getLogger(__name__)

STOP_REASON: Final = "the run was stopped"
"""Why a step is cancelled whose run was cancelled or reached its deadline."""

DELAYS: Final = ("R", "P")
"""Fates after which a step waits in the ledger."""

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Kit:
    """The collaborators of a worker process, made anew in every forked child.

    Args:
        settings: The site's.
        ledger: The site's, over connections of this process.
        publisher: Likewise.
        worker_id: Under which claims are made.
        is_draining: Whether the worker is going down and must claim no more.
        nudge: Wakes the worker's keeper.
        registry: The steps whose code this worker has.
        events: Tells who listens what becomes of steps.
        rng: For the random part of a retry's delay.
        own_processes: Where steps run alone; None where all of them do, or none can.
    """

    settings: Settings
    ledger: Ledger
    publisher: Publisher
    worker_id: str
    is_draining: Callable[[], bool]
    nudge: Nudge
    registry: StepRegistry = field(default_factory=StepRegistry)
    events: StepEvents = field(default_factory=silent)
    rng: Random = field(default_factory=Random)
    own_processes: OwnProcesses | None = None

    @property
    def limits(self) -> ValueLimits:
        """What a value must keep to."""
        return ValueLimits(self.settings.max_value_bytes, self.settings.max_depth)

    def insist(self, call: Callable[[], Answer]) -> Answer:
        """Repeat a call to the ledger until Redis answers: what was claimed and what is known must not be dropped."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return call()
            except BrokerUnavailable as error:
                logger.warning("Redis is needed to go on, trying again in %.1f s: %s", pause_s, error)
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def read(self, run_id: str, first: int) -> RunRecord:
        """Read a run from a ledger index on, as soon as Redis answers."""
        return self.insist(lambda: self.ledger.read(run_id, first=first))

    def pass_on(self, fates: Sequence[StepFate], settled: Settled) -> None:
        """Publish what a settle made ready, finish sweeping what it ended, and tell the keeper of what falls due."""
        if any(fate.kind in DELAYS for fate in fates):
            self.nudge.set()
        ready = settled.ready
        if settled.unfinished:
            ready += self.insist(lambda: self.ledger.finish(settled.unfinished))
        self.publisher.publish(ready)
