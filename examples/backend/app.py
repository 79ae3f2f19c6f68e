"""The app: ``uvicorn --factory examples.backend.app:app`` serves it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from examples.backend.failures import answer_failures
from examples.backend.orchestration import WorkflowOrchestrationService
from examples.backend.routes import health_routes, run_routes, task_routes, view_routes
from examples.backend.runs import Runs
from examples.backend.tasks import TaskService
from producer import Producer


def make_app(producer: Producer) -> FastAPI:
    """Return the app on a producer, which is the app's from now on: it is closed when the app ends."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(producer.close)

    made = FastAPI(title="A backend on Stepline", lifespan=lifespan)
    made.include_router(view_routes(WorkflowOrchestrationService(producer)))
    made.include_router(task_routes(TaskService(producer)))
    made.include_router(run_routes(Runs(producer)))
    made.include_router(health_routes(producer))
    answer_failures(made)
    return made


def app() -> FastAPI:
    """Return the app on the site that the settings name, else on the one that is up in the data folder."""
    return make_app(Producer())
