"""The routes: each takes a request apart, asks a service, and puts the answer together."""

import asyncio
import json
from collections import Counter
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from examples.backend.models import Health, Identifier, RunAnswer, TaskAnswer, TaskRequest, ViewAnswer
from examples.backend.orchestration import VIEWS, WorkflowOrchestrationService
from examples.backend.runs import Runs, follow
from examples.backend.tasks import TASK_STEPS, NewTask, TaskService
from producer import Producer
from producer.events import Event

WAIT_S: Final = 20.0
"""How long a caller may be kept waiting for a task; then it is told where to look for the rest."""

ACCEPTED: Final = 202
UNAVAILABLE: Final = 503

STEP_NAMES: Final = frozenset(name for view in VIEWS.values() for name in view.values()).union(TASK_STEPS)
"""What this backend asks its workers for."""

LastEventId = Annotated[str, Header(pattern=r"^(0|[1-9]\d{0,18}-\d{1,19})$")]
"""Sent by a browser that lost the connection: the last event it has."""


class EventStream(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


def view_routes(service: WorkflowOrchestrationService) -> APIRouter:
    """Return the routes of views."""
    router = APIRouter(tags=["views"])

    @router.get("/views/{view}")
    async def read_view(view: str, session_id: Annotated[Identifier, Query()]) -> ViewAnswer:
        return ViewAnswer.of(view, await service.run(view, session_id))

    return router


def task_routes(service: TaskService) -> APIRouter:
    """Return the routes of tasks."""
    router = APIRouter(tags=["tasks"])

    @router.post("/tasks", responses={ACCEPTED: {"model": TaskAnswer}})
    async def create_task(request: TaskRequest, response: Response, wait: bool = True) -> TaskAnswer:
        task = NewTask(project_id=request.project_id, title=request.title, work_s=request.work_s)
        run = await asyncio.to_thread(service.start, task)
        result = await service.result_of(run, WAIT_S) if wait else None
        if result is not None:
            return TaskAnswer(task_id=task.task_id, run=RunAnswer.completed(result))
        response.status_code = ACCEPTED
        response.headers["Location"] = f"/runs/{run.id}"
        return TaskAnswer(task_id=task.task_id, run=RunAnswer.accepted(run))

    return router


def run_routes(runs: Runs) -> APIRouter:
    """Return the routes of runs."""
    router = APIRouter(tags=["runs"])

    @router.get("/runs/{run_id}")
    async def read_run(run_id: str) -> RunAnswer:
        return await asyncio.to_thread(runs.look, run_id)

    @router.delete("/runs/{run_id}", status_code=ACCEPTED)
    async def cancel_run(run_id: str) -> RunAnswer:
        return await asyncio.to_thread(runs.cancel, run_id)

    @router.get("/runs/{run_id}/events", response_class=EventStream)
    async def follow_run(run_id: str, last_event_id: LastEventId = "0") -> EventStream:
        run = await asyncio.to_thread(runs.find, run_id)
        return EventStream(server_sent(event) async for event in follow(run, last_event_id))

    return router


def server_sent(event: Event) -> str:
    """Return an event as browsers' ``EventSource`` reads it; its id comes back as ``Last-Event-ID``."""
    return f"id: {event.id}\nevent: {event.event}\ndata: {json.dumps(event.as_dict())}\n\n"


def health_routes(producer: Producer) -> APIRouter:
    """Return the route that says whether requests can be served."""
    router = APIRouter(tags=["health"])
    queues = {producer.settings.critical_queue, producer.settings.parallel_queue}

    @router.get("/health")
    async def read_health(response: Response) -> Health:
        known, live = await asyncio.to_thread(lambda: (producer.known_steps(), producer.workers()))
        unknown = sorted(STEP_NAMES - known.keys())
        workers = dict(Counter(worker.queue for worker in live))
        is_ok = not unknown and queues <= workers.keys()
        if not is_ok:
            response.status_code = UNAVAILABLE
        return Health(ok=is_ok, workers=workers, unknown_steps=unknown)

    return router
