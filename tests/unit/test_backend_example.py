"""The example backend without a site: its services and its app over a producer that runs steps in this process."""

import asyncio
import importlib
import json
import sqlite3
from collections.abc import Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from config.settings import Settings
from examples.backend import app as backend
from examples.backend import failures, store
from examples.backend.orchestration import VIEW_DEADLINE_S, VIEWS, UnknownView, WorkflowOrchestrationService
from examples.backend.tasks import TASK_STEPS, NewTask, TaskService
from producer import Result, execute_steps
from producer.events import Event
from producer.run_status import RunStatus
from steps import (
    BrokerUnavailable,
    GatherTimeout,
    InvalidBatch,
    KeyConflict,
    Problem,
    QueueFull,
    RunLost,
    RunUnknown,
    StepRegistry,
    SubmitUnknown,
    UnknownStep,
)

SETTINGS = Settings()
SESSION = "session"


class InlineRun:
    """A run whose steps are run in this process when it is gathered; with no time to wait, they are not."""

    error: Exception | None = None
    state = "running"

    def __init__(self, run_id: str, steps: list[Any], options: dict[str, Any]) -> None:
        self.id, self._steps, self._options = run_id, steps, options
        self.total_steps = len(steps)

    def gather(self, timeout: float | None = None) -> Result:
        if self.error is not None:
            raise self.error
        if timeout == 0:
            raise GatherTimeout(self.id, 0.0, (), self.total_steps)
        options = dict(self._options)
        return execute_steps(self._steps, options.pop("context"), options, settings=SETTINGS)

    async def gather_async(self, timeout: float | None = None) -> Result:
        return await asyncio.to_thread(self.gather, timeout)

    def status(self) -> RunStatus:
        return RunStatus(
            run_id=self.id, state=self.state, total=self.total_steps, waits_for=("no live worker on critical",)
        )

    def events(self, *, after: str) -> Iterator[Event]:
        """Yield three events; the run is completed once it has been asked for them."""
        self.state = "completed"
        kinds = ["run.started", "step.completed", "run.completed"]
        return (Event(id=f"{at}-0", event=kind, at_ms=at) for at, kind in enumerate(kinds, 1) if f"{at}-0" > after)


class InlineProducer:
    """What the backend needs of a producer; ``error`` is raised in place of everything."""

    settings = SETTINGS

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.runs: dict[str, InlineRun] = {}
        self.submitted: list[tuple[list[Any], dict[str, Any]]] = []
        self.known: set[str] = {*TASK_STEPS, *(name for view in VIEWS.values() for name in view.values())}
        self.queues = ["critical", "parallel", "parallel"]
        self.is_closed = False

    def submit(self, steps: list[Any], **options: Any) -> InlineRun:
        self._refuse()
        self.submitted.append((steps, options))
        run = InlineRun(f"run{len(self.runs) + 1}", steps, options)
        self.runs[run.id] = run
        return run

    def attach(self, run_id: str) -> InlineRun:
        self._refuse()
        if run_id not in self.runs:
            raise RunUnknown(run_id)
        return self.runs[run_id]

    def status(self, run_id: str) -> RunStatus:
        self._refuse()
        return self.runs[run_id].status() if run_id in self.runs else RunStatus(run_id=run_id, state="not_found")

    def cancel(self, run_id: str, reason: str) -> None:
        self.attach(run_id).state = "stopping"

    def workers(self) -> list[Any]:
        return [SimpleNamespace(queue=queue) for queue in self.queues]

    def known_steps(self) -> dict[str, None]:
        self._refuse()
        return dict.fromkeys(self.known)

    def close(self) -> None:
        self.is_closed = True

    def _refuse(self) -> None:
        if self.error is not None:
            raise self.error


@pytest.fixture(autouse=True)
def _own_steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv(store.PATH_VARIABLE, str(tmp_path / "backend.sqlite"))
    with StepRegistry().isolated():
        importlib.reload(importlib.import_module("examples.backend.steps"))
        yield


@pytest.fixture
def producer() -> InlineProducer:
    return InlineProducer()


def await_(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def ask(producer: InlineProducer, method: str, path: str, **options: Any) -> httpx.Response:
    """Return what the app answers; an error that it has no answer for is answered 500, as a server does."""

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(backend.make_app(producer), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://backend") as client:
            return await client.request(method, path, **options)

    return await_(once())


# the services ---------------------------------------------------------------------------------------------------------


def test_a_view_is_a_batch_of_reads_with_a_deadline(producer: InlineProducer) -> None:
    result = await_(WorkflowOrchestrationService(producer).run("session", SESSION))
    assert result.ok
    assert result.mode == "parallel"
    assert [one.id for one in result.outcomes] == list(VIEWS["session"])
    _, options = producer.submitted[0]
    assert options == {"context": {"session_id": SESSION}, "deadline": VIEW_DEADLINE_S, "name": "view session"}


def test_the_ten_reads_of_the_session_view_take_753_ms_together_and_117_at_most() -> None:
    reads_ms = importlib.import_module("examples.backend.steps").READS_MS
    assert sorted(VIEWS["session"].values()) == sorted(reads_ms)
    assert (len(reads_ms), sum(reads_ms.values()), max(reads_ms.values())) == (10, 753, 117)


def test_a_view_that_there_is_not_is_refused_before_anything_is_submitted(producer: InlineProducer) -> None:
    with pytest.raises(UnknownView, match="there is no view 'atlas'; there are checkout, session"):
        WorkflowOrchestrationService(producer).start("atlas", SESSION)
    assert producer.submitted == []


def test_views_of_ones_own_may_be_given(producer: InlineProducer) -> None:
    service = WorkflowOrchestrationService(producer, {"short": {"branch": "GetCheckoutBranchStep"}})
    assert await_(service.run("short", SESSION))["branch"].value == {"session_id": SESSION, "waited_ms": 9}


def test_a_task_writes_in_the_lane_of_its_project_and_then_reads_what_it_wrote(producer: InlineProducer) -> None:
    result = do(producer, NewTask(project_id="p", title="Paint", task_id="t"))
    assert result.ok
    assert result.mode == "hybrid"
    assert [one.lane for one in result.outcomes] == ["project:p", "project:p", None]
    assert [one.value for one in result.outcomes] == ["t", "done", {"done": 1}]


def test_every_task_has_an_id_of_its_own_and_the_board_counts_them(producer: InlineProducer) -> None:
    results = [do(producer, NewTask(project_id=name, title="Paint")) for name in ("p", "p", "q")]
    assert len({result["created"].value for result in results}) == 3
    assert [result["board"].value for result in results] == [{"done": 1}, {"done": 2}, {"done": 1}]


def do(producer: InlineProducer, task: NewTask) -> Result:
    service = TaskService(producer)
    return await_(service.result_of(service.start(task), 5.0))


# the store ------------------------------------------------------------------------------------------------------------


def test_a_task_that_is_written_twice_is_there_once(tmp_path: Path) -> None:
    for fence in (1, 2):
        store.insert_task(project_id="p", task_id="t", title="Paint", fence=fence)
    assert store.count_tasks("p") == {"open": 1}


def test_an_attempt_that_comes_too_late_changes_nothing(tmp_path: Path) -> None:
    store.insert_task(project_id="p", task_id="t", title="Paint", fence=7)
    with pytest.raises(store.StaleFence, match="newer than fence 6"):
        store.finish_task(project_id="p", task_id="t", fence=6)
    assert store.count_tasks("p") == {"open": 1}
    with sqlite3.connect(tmp_path / "backend.sqlite") as database:
        assert database.execute("SELECT fence FROM tasks").fetchall() == [(7,)]
    database.close()


# over HTTP ------------------------------------------------------------------------------------------------------------


def test_a_view_answers_with_every_part(producer: InlineProducer) -> None:
    answer = ask(producer, "GET", "/views/checkout", params={"session_id": SESSION})
    assert answer.status_code == 200
    document = answer.json()
    assert (document["view"], document["ok"]) == ("checkout", True)
    assert {part: one["value"]["waited_ms"] for part, one in document["parts"].items()} == {"status": 19, "branch": 9}


def test_a_failed_read_stands_beside_the_values_of_the_others(producer: InlineProducer) -> None:
    answer = ask(producer, "GET", "/views/session", params={"session_id": "guest"})
    parts = answer.json()["parts"]
    failed = parts.pop("preferences")
    assert (answer.status_code, answer.json()["ok"]) == (200, False)
    assert (failed["status"], failed["value"], failed["error"]["type"]) == ("failed", None, "NoPreferences")
    assert len(parts) == 9
    assert all(one["status"] == "succeeded" and one["error"] is None for one in parts.values())


def test_a_task_answers_with_what_became_of_it(producer: InlineProducer) -> None:
    answer = ask(producer, "POST", "/tasks", json={"project_id": "p", "title": "Paint"})
    assert answer.status_code == 200
    assert answer.json()["run"]["state"] == "completed"
    assert answer.json()["run"]["steps"]["created"]["value"] == answer.json()["task_id"]


def test_a_task_that_nobody_waits_for_is_accepted_and_says_where_to_look(producer: InlineProducer) -> None:
    answer = ask(producer, "POST", "/tasks", params={"wait": "false"}, json={"project_id": "p", "title": "Paint"})
    assert (answer.status_code, answer.headers["Location"]) == (202, "/runs/run1")
    run = {"run_id": "run1", "state": "queued", "ok": None, "total": 3, "waits_for": [], "steps": {}}
    assert answer.json()["run"] == run
    waits_for = ["no live worker on critical"]
    assert ask(producer, "GET", "/runs/run1").json() == {**run, "state": "running", "waits_for": waits_for}
    answer = ask(producer, "DELETE", "/runs/run1")
    assert (answer.status_code, answer.json()["state"]) == (202, "stopping")


@pytest.mark.parametrize("error", [GatherTimeout("run1", 20.0, (), 3), BrokerUnavailable("Redis is gone")])
def test_a_task_that_was_accepted_is_never_answered_as_if_it_had_not_been(
    producer: InlineProducer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(InlineRun, "error", error)
    answer = ask(producer, "POST", "/tasks", json={"project_id": "p", "title": "Paint"})
    assert (answer.status_code, answer.headers["Location"]) == (202, "/runs/run1")


def test_events_are_sent_until_the_run_is_completed_and_from_the_last_one_that_was_received(
    producer: InlineProducer,
) -> None:
    producer.submit(["GetCheckoutBranchStep"], context={"session_id": SESSION})
    answer = ask(producer, "GET", "/runs/run1/events")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    events = answer.text.split("\n\n")
    assert [event.split("\n")[:2] for event in events[:3]] == [
        ["id: 1-0", "event: run.started"],
        ["id: 2-0", "event: step.completed"],
        ["id: 3-0", "event: run.completed"],
    ]
    assert json.loads(events[2].split("data: ")[1])["at_ms"] == 3
    again = ask(producer, "GET", "/runs/run1/events", headers={"Last-Event-ID": "2-0"})
    assert again.text.startswith("id: 3-0")
    assert ask(producer, "GET", "/runs/run1/events", headers={"Last-Event-ID": "3-0"}).text == ""


def test_events_of_a_run_that_is_not_there_or_from_no_event_are_refused(producer: InlineProducer) -> None:
    producer.submit(["GetCheckoutBranchStep"], context={"session_id": SESSION})
    assert ask(producer, "GET", "/runs/none/events").status_code == 404
    assert ask(producer, "GET", "/runs/run1/events", headers={"Last-Event-ID": "x"}).status_code == 422


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"project_id": "p"}, "body.title"),
        ({"project_id": "", "title": "Paint"}, "body.project_id"),
        ({"project_id": "p", "title": "Paint", "work_s": -1}, "body.work_s"),
        ({"project_id": "p", "title": "Paint", "colour": "red"}, "body.colour"),
    ],
)
def test_a_bad_body_is_refused_with_the_place(producer: InlineProducer, body: dict[str, Any], path: str) -> None:
    answer = ask(producer, "POST", "/tasks", json=body)
    assert answer.status_code == 422
    assert [problem["path"] for problem in answer.json()["error"]["problems"]] == [path]
    assert producer.submitted == []


@pytest.mark.parametrize(
    ("error", "code", "retry_after"),
    [
        (InvalidBatch([Problem("steps[0].lane", "is too long")]), 422, None),
        (UnknownStep("GetNothingStep"), 503, None),
        (KeyConflict("key", "run7"), 409, None),
        (QueueFull("parallel", 100_000, 100_000), 503, "1"),
        (BrokerUnavailable("Redis does not answer"), 503, "1"),
        (SubmitUnknown("run7"), 503, None),
        (GatherTimeout("run7", 4.0, (), 10), 504, None),
        (RunLost("run7"), 500, None),
    ],
)
def test_errors_of_stepline_become_answers(error: Exception, code: int, retry_after: str | None) -> None:
    answer = ask(InlineProducer(error), "GET", "/views/session", params={"session_id": SESSION})
    assert (answer.status_code, answer.headers.get("Retry-After")) == (code, retry_after)
    document = answer.json()["error"]
    assert (document["type"], document["message"]) == (type(error).__name__, str(error))
    assert document["run_id"] == getattr(error, "run_id", None)
    problems = [(problem.path, problem.message) for problem in getattr(error, "problems", ())]
    assert [(one["path"], one["message"]) for one in document["problems"]] == problems


def test_what_is_not_there_is_answered_404_in_the_same_shape(producer: InlineProducer) -> None:
    for path, kind in (
        ("/views/atlas?session_id=1", "UnknownView"),
        ("/runs/none", "RunUnknown"),
        ("/atlas", "HttpError"),
    ):
        answer = ask(producer, "GET", path)
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, kind)
    assert ask(producer, "DELETE", "/runs/none").status_code == 404


def test_an_error_that_is_none_of_stepline_is_the_servers_fault(producer: InlineProducer) -> None:
    assert failures.status_code(ValueError()) == 500
    assert ask(InlineProducer(ValueError("a defect")), "GET", "/health").status_code == 500


def test_health_says_which_workers_live(producer: InlineProducer) -> None:
    healthy = {"ok": True, "workers": {"critical": 1, "parallel": 2}, "unknown_steps": []}
    assert ask(producer, "GET", "/health").json() == healthy
    producer.queues.remove("critical")
    answer = ask(producer, "GET", "/health")
    assert (answer.status_code, answer.json()["ok"], answer.json()["workers"]) == (503, False, {"parallel": 2})


def test_health_says_which_steps_no_worker_knows(producer: InlineProducer) -> None:
    producer.known -= {"CreateTaskStep", "GetCheckoutBranchStep"}
    answer = ask(producer, "GET", "/health")
    assert (answer.status_code, answer.json()["ok"]) == (503, False)
    assert answer.json()["unknown_steps"] == ["CreateTaskStep", "GetCheckoutBranchStep"]


def test_the_producer_is_closed_when_the_app_ends(producer: InlineProducer) -> None:
    async def begin_and_end() -> None:
        app = backend.make_app(producer)
        async with app.router.lifespan_context(app):
            assert not producer.is_closed

    await_(begin_and_end())
    assert producer.is_closed
