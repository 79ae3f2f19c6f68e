"""Looks at runs of any process, follows them, and cancels them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from examples.backend.models import RunAnswer
from producer import Producer, Run
from producer.events import Event
from steps import GatherTimeout

LOOK_EVERY_S: Final = 0.2
"""How old an event may be when its follower hears of it."""


class Runs:
    """The runs of a site. What is not awaited speaks to Redis for a moment, so not on an event loop.

    Args:
        producer: The way to the site.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def look(self, run_id: str) -> RunAnswer:
        """Return a run as it stands, with the outcomes so far.

        Raises:
            RunUnknown: There is none.
        """
        status = self._producer.status(run_id)  # before the outcomes: a completed run then has all of them
        try:
            outcomes = self._producer.attach(run_id).gather(timeout=0).outcomes
        except GatherTimeout as so_far:
            outcomes = so_far.outcomes
        return RunAnswer.at(status, outcomes)

    def cancel(self, run_id: str) -> RunAnswer:
        """Cancel a run, and return it as it stands then: what runs is given up to 5 s to stop.

        Raises:
            RunUnknown: There is none.
        """
        self._producer.cancel(run_id, "cancelled over HTTP")
        return self.look(run_id)

    def find(self, run_id: str) -> Run:
        """Return the handle on a run.

        Raises:
            RunUnknown: There is none.
        """
        return self._producer.attach(run_id)


async def follow(run: Run, after: str) -> AsyncIterator[Event]:
    """Yield the events of a run behind the one of that id, until the run is completed.

    It looks now and then instead of waiting in Redis, so however many follow, no thread and no connection is held.
    """
    while True:
        # Before the events: those of a run that is completed are all there.
        state = (await asyncio.to_thread(run.status)).state
        for event in await asyncio.to_thread(_events, run, after):
            after = event.id
            yield event
        if state in ("completed", "not_found"):
            return
        await asyncio.sleep(LOOK_EVERY_S)


def _events(run: Run, after: str) -> list[Event]:
    return list(run.events(after=after))
