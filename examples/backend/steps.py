"""The steps of the backend: ten reads of the session view, and the writes and the reads of a task.

The workers import them (``STEPLINE_STEP_MODULES=examples.backend.steps``); the HTTP process need not.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Final

from examples.backend import store
from steps import StepContext, step

GUEST: Final = "guest"
"""A session whose user has no preferences: one read of its view fails."""

READS_MS: Final = {
    "GetSessionHistoryStep": 117,
    "GetSessionChatsStep": 117,
    "GetCheckoutStatusStep": 19,
    "GetCheckoutBranchStep": 9,
    "GetUserPreferencesStep": 95,
    "GetSystemStatusStep": 88,
    "FetchUserDataStep": 83,
    "RetrieveProjectDataStep": 79,
    "LoadConfigurationStep": 76,
    "QueryDatabaseStep": 70,
}
"""The ten reads of the session view and how long each takes, in milliseconds; together 753."""

Answer = dict[str, str | int]


class NoPreferences(LookupError):
    """A guest has none."""


async def _ask(name: str, session_id: str) -> Answer:
    """Stand in for a request to another service: it takes its time and answers little."""
    await asyncio.sleep(READS_MS[name] / 1000)
    if (name, session_id) == ("GetUserPreferencesStep", GUEST):
        raise NoPreferences(f"session {session_id!r} is a guest's, and guests have no preferences")
    return {"session_id": session_id, "waited_ms": READS_MS[name]}


def _read(name: str) -> Callable[[str], Coroutine[None, None, Answer]]:
    # Awaiting, so that 200 reads of 20 clients take no thread each; not retried, because the user will ask again.
    @step(name=name, critical=False, timeout=1, retries=0)
    async def read(session_id: str) -> Answer:
        return await _ask(name, session_id)

    return read


for _name in READS_MS:
    _read(_name)


@step(lane="project:{project_id}", timeout=5, idempotent=True)
def CreateTaskStep(ctx: StepContext, project_id: str, task_id: str, title: str) -> str:
    """Write the task down; a second attempt finds it there."""
    store.insert_task(project_id=project_id, task_id=task_id, title=title, fence=ctx.fence)
    return task_id


@step(lane="project:{project_id}", timeout=60)
def ExecuteTaskStep(ctx: StepContext, project_id: str, task_id: str, work_s: float = 0.0) -> str:
    """Do the task's work, here a sleep, and mark it as done."""
    time.sleep(work_s)
    return store.finish_task(project_id=project_id, task_id=task_id, fence=ctx.fence)


@step(critical=False, timeout=5)
def GetProjectBoardStep(project_id: str) -> dict[str, int]:
    """Count the project's tasks by state; after the writes of its own batch, so it sees them."""
    return store.count_tasks(project_id)
