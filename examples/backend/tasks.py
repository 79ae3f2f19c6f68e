"""Creates tasks and runs them: critical steps in the lane of their project, then a read of what came of it."""

import secrets
from dataclasses import dataclass, field
from typing import Final

from producer import Producer, Result, Run
from producer.planning.batch_calls import StepSpec
from steps import BrokerUnavailable, GatherTimeout

TASK_DEADLINE_S: Final = 120.0
"""For a task with all that waits before it in its lane."""

ID_BYTES: Final = 8

CREATE: Final = "CreateTaskStep"
EXECUTE: Final = "ExecuteTaskStep"
BOARD: Final = "GetProjectBoardStep"

TASK_STEPS: Final = (CREATE, EXECUTE, BOARD)
"""The steps of a task: two writes in the lane of its project, and a read that sees what they did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """What is to be done.

    Args:
        project_id: Whose lane it takes: tasks of one project run one at a time, in the order they came.
        title: For people.
        work_s: How long the work takes, in seconds.
        task_id: Made here and not by the step, so that a second attempt of the step means the same task.
    """

    project_id: str
    title: str
    work_s: float = 0.0
    task_id: str = field(default_factory=lambda: secrets.token_hex(ID_BYTES))


class TaskService:
    """Runs tasks on a site.

    Args:
        producer: The way to the site.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def start(self, task: NewTask) -> Run:
        """Submit a task; this speaks to Redis for a few milliseconds, so not on an event loop.

        Raises:
            SteplineError: As `Producer.submit`.
        """
        written = {"task_id": task.task_id}
        calls: list[StepSpec] = [
            {"id": "created", "name": CREATE, "params": {**written, "title": task.title}},
            {"id": "executed", "name": EXECUTE, "params": {**written, "work_s": task.work_s}},
            {"id": "board", "name": BOARD},
        ]
        # No task_id in the context: Stepline's rules take it for a sign that the whole batch changes things.
        context = {"project_id": task.project_id}
        return self._producer.submit(calls, context=context, deadline=TASK_DEADLINE_S, name=f"task {task.task_id}")

    async def result_of(self, run: Run, timeout_s: float) -> Result | None:
        """Await the result of a task that was started.

        Returns:
            None where it goes on: its time was up, or Redis went away. Either way the task has been accepted, so to
            its caller this is no error, which might have it submitted twice.

        Raises:
            RunLost: Redis no longer holds it; how far it came is not known.
        """
        try:
            return await run.gather_async(timeout_s)
        except (GatherTimeout, BrokerUnavailable):
            return None
