"""What a caller may do to runs and queues beside submitting: cancel steps, clear a queue, try again, forget."""

import time
from collections.abc import Mapping
from typing import Any, Final

from config.errors import SettingsError
from config.priorities import LEAST_PRIORITY, URGENT, message_priority
from config.settings import Settings
from producer.planning.batch_calls import StepSpec
from producer.publish import Publisher
from producer.run_meta import RunMeta, StepMeta
from steps.call import StepCall
from steps.errors import InvalidBatch, RunUnknown
from steps.ledger import Ledger
from steps.ledger.ledger import RUNS_A_LOOK, SLICE
from steps.ledger.replies import MICROSECONDS
from steps.outcome import Settlement
from steps.problem import Problem

CLEARED: Final = "the queue was cleared"
"""Why a step is cancelled whose queue was."""

END_OF_TIME_MS: Final = 2**53
"""Later than any run settles; the highest whole number that Redis keeps in a score."""


class Control:
    """Changes what was submitted.

    Args:
        ledger: The site's.
        publisher: Sends what becomes ready because of it.
        settings: The site's.
    """

    def __init__(self, ledger: Ledger, publisher: Publisher, settings: Settings) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._settings = settings

    def cancel_step(self, run_id: str, meta: RunMeta, step_id: str, reason: str) -> None:
        """Cancel one step: one that has not started never starts, one that runs is asked to stop.

        Raises:
            InvalidBatch: The run has no such step.
            RunUnknown: There is no such run.
        """
        index = meta.index_of(step_id)
        if index is None:
            raise InvalidBatch([Problem(step_id, f"is no step of run {run_id}")])
        self._publisher.publish(self._ledger.cancel_step(run_id, index, reason))

    def clear_queue(self, name: str) -> int:
        """Cancel what has not started on a queue; returns how many steps."""
        if name not in (names := [queue.name for queue in self._settings.queues]):
            raise SettingsError(f"no queue is named {name!r}; the queues are {', '.join(names)}")
        total, first = 0, 0
        while ids := self._ledger.site.backlog(name, first, RUNS_A_LOOK):
            cleared = sum(self._clear(run_id, name) for run_id in ids)
            total += cleared
            # Cleared runs leave the backlog, those with running steps stay at its head.
            first = 0 if cleared else first + len(ids)
        return total

    def failures_of(self, run_id: str) -> tuple[list[StepSpec], dict[str, Any]]:
        """Return the steps of a settled run that did not succeed, as calls, and the options it was submitted with.

        Raises:
            RunUnknown: There is no such run.
            InvalidBatch: It has not settled, or every step of it succeeded.
        """
        record = self._ledger.read(run_id)
        if not record.is_settled:
            raise InvalidBatch([Problem("run", f"{run_id} has not settled yet; wait for it, or cancel it first")])
        meta = RunMeta.decode(record.meta)
        failed = self._failed(run_id, meta)
        if not failed:
            raise InvalidBatch([Problem("run", f"{run_id} has nothing to try again: every step of it succeeded")])
        (facts,) = self._ledger.status([run_id])
        if facts is None:
            raise RunUnknown(run_id)
        calls = self._ledger.calls(run_id, len(meta.steps) + (meta.then is not None))
        specs = [_spec(meta.at(index), calls[index]) for index in failed]
        then = None if meta.then is None else _spec(meta.then, calls[-1])
        return specs, {**_options(meta, facts.plain), **_forced(meta, meta.at(failed[0])), "then": then}

    def purge(self, older_than_s: float) -> int:
        """Forget the runs that settled so long ago, all of them for 0; returns how many."""
        if not older_than_s >= 0:
            raise SettingsError(f"older_than_s must be 0 or more seconds, not {older_than_s!r}")
        # Redis says when a run settled, and its clock may be ahead of ours.
        before_ms = time.time() * 1000 - older_than_s * 1000 if older_than_s else END_OF_TIME_MS
        return self._ledger.purge(before_ms=before_ms)

    def _clear(self, run_id: str, queue: str) -> int:
        try:
            cleared = self._ledger.clear(run_id, queue, CLEARED)
        except RunUnknown:  # it has ended and expired since
            return 0
        self._publisher.publish(cleared.ready)
        return cleared.count

    def _failed(self, run_id: str, meta: RunMeta) -> list[int]:
        """Return the ledger indexes of the steps that did not succeed, in input order."""
        statuses: list[str] = []
        for first in range(0, len(meta.steps), SLICE):
            outcomes = self._ledger.read(run_id, first=first).outcomes
            statuses += ["" if text is None else Settlement.decode(text).status for text in outcomes]
        indexes = {position: index for index, position in enumerate(meta.sequence)}
        return [indexes[at] for at in range(len(meta.steps)) if statuses[indexes[at]] != "succeeded"]


def _options(meta: RunMeta, plain: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of `Producer.submit` that make a run like this one."""
    allowed_us = int(plain["deadline"]) - int(plain["began"] or plain["created"])
    return {
        "context": meta.context,
        "order": meta.order,
        "strategy": meta.strategy,
        "deadline": allowed_us / MICROSECONDS,
        "max_concurrency": int(plain["maxc"]),
        "name": plain["name"] or None,
        "priority": "high" if message_priority(int(plain["prio"] or LEAST_PRIORITY)) == URGENT else None,
    }


def _forced(meta: RunMeta, first: StepMeta) -> dict[str, Any]:
    """Return mode and lane of a run whose steps were all forced into lanes: some that only read are in one."""
    steps = meta.steps if meta.then is None else (*meta.steps, meta.then)
    is_forced = any(step.lane and not step.critical for step in steps)
    return {"mode": "sequential", "lane": _template(first.lane)} if is_forced else {}


def _template(lane: str | None) -> str | None:
    """Return the template that gives the key of this lane."""
    return lane.replace("{", "{{").replace("}", "}}") if lane else None


def _spec(step: StepMeta, encoded: bytes) -> StepSpec:
    """Return the call of a step as it was made: with the class and the lane that were decided then."""
    call = StepCall.decode(encoded)
    return {
        "name": call.name,
        "id": call.id,
        "params": call.params,
        "timeout": call.timeout_s,
        "retries": call.retries,
        "critical": step.critical,
        "lane": _template(step.lane) if step.critical else None,
    }
