"""A run as its caller holds it: wait for it, follow it, cancel it; from any thread, or awaited."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from producer.connections import Connections
from producer.events import FROM_THE_FIRST, Event, events_of
from producer.inbox import LOOK_EVERY_S
from producer.notices import Notice
from producer.outcomes import Outcomes
from producer.result import Result, result_of
from producer.run_meta import RunMeta
from producer.run_status import RunStatus
from producer.schedule import ScheduleRecord, schedule_of
from steps.context import running_step
from steps.errors import GatherInsideStep, GatherTimeout, RunUnknown
from steps.ledger.ledger import SLICE
from steps.ledger.records import RunRecord
from steps.outcome import Settlement


class Run:
    """One execution of a batch.

    Args:
        run_id: Its id; `Producer.attach` takes it, in any process.
        meta: Its plan as workers and waiters see it.
        connections: The producer's.
        is_settled: Whether there is nothing to wait for any more.

    Attributes:
        id: The run's id.
        total_steps: How many outcomes it will have.
    """

    def __init__(self, run_id: str, meta: RunMeta, connections: Connections, *, is_settled: bool = False) -> None:
        self.id = run_id
        self.total_steps = len(meta.steps)
        self._meta = meta
        self._connections = connections
        self._is_settled = is_settled
        self._began_s = time.monotonic()
        self._epoch = connections.ledger.epoch
        self._result: Result | None = None

    def gather(self, timeout: float | None = None) -> Result:
        """Wait until every step has settled and return the result, in input order.

        Args:
            timeout: Seconds to wait; None: until the run settles, at the latest at its deadline.

        Raises:
            GatherTimeout: It has not settled in time; the run goes on, the error holds the outcomes so far.
            GatherInsideStep: Called from a step, which could wait for itself.
            RunLost: Redis no longer holds the run.
            BrokerUnavailable: Redis has not answered for 5 s.
        """
        if self._result is None:
            future = self._notice()
            try:
                notice = future.result(timeout)
            except FutureTimeout:
                notice = self._last_look(timeout)
            finally:
                self._connections.inbox.stop_waiting(self.id, future)
            self._result = self._result_of(notice)
        return self._result

    async def gather_async(self, timeout: float | None = None) -> Result:
        """Like `gather`, awaited: no thread waits meanwhile."""
        if self._result is None:
            future = self._notice()
            try:
                notice = await asyncio.wait_for(asyncio.wrap_future(future), timeout)
            except TimeoutError:
                notice = await asyncio.to_thread(self._last_look, timeout)
            finally:
                self._connections.inbox.stop_waiting(self.id, future)
            # What came with the notice is small and is read here: a thread would cost more than it.
            is_here = notice.outcomes is not None
            self._result = self._result_of(notice) if is_here else await asyncio.to_thread(self._result_of, notice)
        return self._result

    def outcomes(self) -> Outcomes:
        """Return the outcomes as they settle, each once: ``for outcome in run.outcomes()``, or ``async for``.

        Iterating raises `RunUnknown` where the run's results have expired, `RunLost` where Redis came back without it,
        and `BrokerUnavailable` where Redis does not answer.
        """
        return Outcomes(self.id, self._meta, self._connections.ledger, epoch=self._epoch)

    def cancel(self, reason: str = "cancelled by its caller") -> None:
        """Cancel the run: what has not started never starts, what runs is stopped where its pool can stop it.

        Returns at once; `gather` returns when everything has settled, at the latest after 5 s.

        Raises:
            RunUnknown: There is no such run any more.
        """
        self._connections.publisher.publish(self._connections.ledger.cancel(self.id, reason))

    def pause(self) -> None:
        """Let nothing of the run start any more; what runs, runs on. It leaves its lanes, so that nobody waits for it.

        Its deadline goes on; a paused run can be cancelled.

        Raises:
            RunUnknown: There is no such run any more.
        """
        self._connections.publisher.publish(self._connections.ledger.pause(self.id))

    def resume(self) -> None:
        """Let a paused run go on, from the tail of its lanes.

        Raises:
            RunUnknown: There is no such run any more.
        """
        self._connections.publisher.publish(self._connections.ledger.resume(self.id))

    def cancel_step(self, step_id: str, reason: str = "cancelled by its caller") -> None:
        """Cancel one step: if it has not started it never starts, if it runs it is stopped where its pool can stop it.

        Raises:
            InvalidBatch: The run has no such step.
            RunUnknown: There is no such run any more.
        """
        self._connections.control.cancel_step(self.id, self._meta, step_id, reason)

    def status(self) -> RunStatus:
        """Return how the run stands, what it waits for with it; its state is ``not_found`` where it has expired."""
        return self._connections.overview.status(self.id)

    def schedule(self) -> ScheduleRecord:
        """Return the run's schedule record.

        Raises:
            RunUnknown: There is no such run any more.
        """
        (facts,) = self._connections.ledger.status([self.id])
        if facts is None:
            raise RunUnknown(self.id)
        return schedule_of(self.id, self._meta, facts, self._connections.ledger)

    def events(self, *, after: str = FROM_THE_FIRST, follow: bool = False) -> Iterator[Event]:
        """Yield what has happened, oldest first.

        Args:
            after: Id of an event: go on behind it.
            follow: Wait for more, until the run has settled.
        """
        return events_of(self._connections.ledger, self.id, self._meta, after=after, follow=follow)

    def _notice(self) -> "Future[Notice]":
        if running_step() is not None:
            raise GatherInsideStep
        if not self._is_settled:
            is_old = time.monotonic() - self._began_s > LOOK_EVERY_S
            return self._connections.inbox.wait_for(self.id, look_now=is_old)
        settled: Future[Notice] = Future()
        settled.set_result(Notice(self.id))
        return settled

    def _last_look(self, timeout: float | None) -> Notice:
        outcomes = self._meta.outcomes(self._read_all()[0])
        if len(outcomes) < self.total_steps:
            raise GatherTimeout(self.id, timeout or 0.0, outcomes, self.total_steps) from None
        return Notice(self.id)

    def _result_of(self, notice: Notice) -> Result:
        if notice.outcomes is not None:
            settlements: list[Settlement | None] = [Settlement.from_record(one) for one in notice.outcomes]
            total_ms, rolled_back = notice.total_ms, notice.rolled_back
        else:
            settlements, record = self._read_all()
            total_ms, rolled_back = (record.settled_ms or record.created_ms) - record.created_ms, record.rolled_back
        return result_of(
            self._meta,
            run_id=self.id,
            outcomes=self._meta.outcomes(settlements),
            total_ms=round(total_ms, 3),
            rolled_back=rolled_back,
        )

    def _read_all(self) -> tuple[list[Settlement | None], RunRecord]:
        """Return all settlements in ledger order, and the run as it was read first."""
        pages = [self._read(first) for first in range(0, max(self.total_steps, 1), SLICE)]
        texts = [text for page in pages for text in page.outcomes]
        return [None if text is None else Settlement.decode(text) for text in texts], pages[0]

    def _read(self, first: int) -> RunRecord:
        return self._connections.ledger.read_accepted(self.id, self._epoch, first=first)
