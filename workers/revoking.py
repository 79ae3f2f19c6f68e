"""Revoking a step, by Flower or another remote control, cancels it in the ledger, where it lasts."""

import logging
from collections.abc import Iterable
from typing import Final

from celery.worker.control import control_command

from producer.publish import Publisher
from producer.run_meta import RunMeta
from steps.errors import BrokerUnavailable, RunUnknown
from steps.ledger import Ledger
from workers.event_fields import of_uuid
from workers.nudge import Nudge
from workers.step_events import StepEvents

logger = logging.getLogger(__name__)

REASON: Final = "revoked by remote control"


class Revoking:
    """The control commands ``revoke`` and ``terminate``, which reach every worker of a site.

    Args:
        ledger: The site's ledger; that all workers cancel the same step there is harmless.
        publisher: Sends what became ready.
        nudge: Wakes the keeper, which stops the step if it runs here.
        events: Tells listeners that the step has settled.
        queue: Which queue this worker serves: of the others' steps, their own workers tell.

    Celery's own would keep the ids in this process's memory, and knows parcels only.
    """

    def __init__(self, *, ledger: Ledger, publisher: Publisher, nudge: Nudge, events: StepEvents, queue: str) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._nudge = nudge
        self._events = events
        self._queue = queue

    def install(self) -> None:
        """Take over the commands, for this process's only worker."""
        control_command(name="revoke")(lambda state, task_id, **_: self.revoke(task_id))
        control_command(name="terminate")(lambda state, signal, task_id, **_: self.revoke(task_id))

    def revoke(self, uuids: str | Iterable[str]) -> dict[str, str]:
        """Cancel the steps with these uuids, however far they are; what is no step's uuid is passed over.

        Returns after the ledger's time-outs at the latest: with the first call that has no answer it gives up.
        """
        given = [uuids] if isinstance(uuids, str) else list(uuids)
        steps = [found for uuid in given if (found := of_uuid(str(uuid))) is not None]
        try:
            cancelled = [f"{run_id}.{step_id}" for run_id, step_id in steps if self._cancel(run_id, step_id)]
        except BrokerUnavailable as error:
            logger.warning("steps could not be revoked: %s", error)
            return {"error": f"the ledger does not answer: {error}"}
        return {"ok": f"steps cancelled: {', '.join(cancelled) or 'none'}"}

    def _cancel(self, run_id: str, step_id: str) -> bool:
        try:
            meta = RunMeta.decode(self._ledger.read(run_id, count=1).meta)
            index = _ledger_index(meta, step_id)
            if index is None:
                return False
            self._publisher.publish(self._ledger.cancel_step(run_id, index, REASON))
        except RunUnknown:
            return False
        self._nudge.set()
        if self._events.is_on and meta.at(index).queue == self._queue:
            self._events.look(run_id, index)
        return True


def _ledger_index(meta: RunMeta, step_id: str) -> int | None:
    """Return where the ledger has a step, None where the run has no such step."""
    if meta.then is not None and meta.then.id == step_id:
        return len(meta.steps)
    return next((meta.sequence.index(at) for at, step in enumerate(meta.steps) if step.id == step_id), None)
