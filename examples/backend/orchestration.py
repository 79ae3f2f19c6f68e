"""Runs named views: each a batch of reads, all of them at once."""

import asyncio
from collections.abc import Mapping
from typing import Final

from producer import Producer, Result, Run

VIEW_DEADLINE_S: Final = 2.0
"""What has not been read by then is left out of the view, as ``timed_out``."""

GATHER_TIMEOUT_S: Final = VIEW_DEADLINE_S + 2.0
"""The run settles at its deadline; waiting longer than this would be for nothing."""

View = Mapping[str, str]
"""The parts of a view: what its reader calls each, and the step that reads it."""

VIEWS: Final[Mapping[str, View]] = {
    "session": {
        "history": "GetSessionHistoryStep",
        "chats": "GetSessionChatsStep",
        "status": "GetCheckoutStatusStep",
        "branch": "GetCheckoutBranchStep",
        "preferences": "GetUserPreferencesStep",
        "system": "GetSystemStatusStep",
        "user": "FetchUserDataStep",
        "project": "RetrieveProjectDataStep",
        "configuration": "LoadConfigurationStep",
        "records": "QueryDatabaseStep",
    },
    "checkout": {"status": "GetCheckoutStatusStep", "branch": "GetCheckoutBranchStep"},
}


class UnknownView(LookupError):
    """There is no view of that name; the message lists those there are."""


class WorkflowOrchestrationService:
    """Runs views on a site.

    Args:
        producer: The way to the site.
        views: By name.
    """

    def __init__(self, producer: Producer, views: Mapping[str, View] = VIEWS) -> None:
        self._producer = producer
        self._views = views

    def start(self, view: str, session_id: str) -> Run:
        """Submit a view; this speaks to Redis for a few milliseconds, so not on an event loop.

        Raises:
            UnknownView: There is none of that name.
            SteplineError: As `Producer.submit`.
        """
        if view not in self._views:
            raise UnknownView(f"there is no view {view!r}; there are {', '.join(sorted(self._views))}")
        calls = [{"id": part, "name": name} for part, name in self._views[view].items()]
        return self._producer.submit(
            calls, context={"session_id": session_id}, deadline=VIEW_DEADLINE_S, name=f"view {view}"
        )

    async def run(self, view: str, session_id: str) -> Result:
        """Submit a view and await its result, in which every part has an outcome.

        Raises:
            UnknownView: There is none of that name.
            SteplineError: As `Producer.submit` and `Run.gather`.
        """
        run = await asyncio.to_thread(self.start, view, session_id)
        return await run.gather_async(GATHER_TIMEOUT_S)
