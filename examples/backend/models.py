"""What goes over HTTP: requests as they must be, answers as they are promised."""

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from producer import Result, Run
from producer.run_status import RunState, RunStatus
from steps import Outcome

Identifier = Annotated[str, Field(min_length=1, max_length=100)]


class TaskRequest(BaseModel):
    """A task to create and run."""

    model_config = ConfigDict(extra="forbid")

    project_id: Identifier
    title: str = Field(min_length=1, max_length=500)
    work_s: float = Field(0.0, ge=0, le=50, description="how long its work takes, in seconds")


class StepError(BaseModel):
    """Why a step did not succeed."""

    type: str
    message: str


class StepAnswer(BaseModel):
    """What became of one step: its value, or the error in its place."""

    status: str
    value: Any = None
    error: StepError | None = None
    attempts: int
    ran_ms: float | None

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """Return an outcome as it is shown."""
        error = outcome.error and StepError(type=outcome.error.type, message=outcome.error.message)
        return cls(
            status=outcome.status, value=outcome.value, error=error, attempts=outcome.attempts, ran_ms=outcome.ran_ms
        )


class ViewAnswer(BaseModel):
    """A view: every part has its outcome, whatever became of the others."""

    view: str
    run_id: str
    ok: bool
    total_ms: float
    parts: dict[str, StepAnswer]

    @classmethod
    def of(cls, view: str, result: Result) -> Self:
        """Return the result of a view's run as it is shown."""
        return cls(
            view=view, run_id=result.run_id, ok=result.ok, total_ms=result.total_ms, parts=_by_id(result.outcomes)
        )


class RunAnswer(BaseModel):
    """A run as it stands; ``ok`` is null and steps are missing until its state is ``completed``."""

    run_id: str
    state: RunState
    ok: bool | None = None
    total: int
    waits_for: list[str] = []
    steps: dict[str, StepAnswer] = {}

    @classmethod
    def accepted(cls, run: Run) -> Self:
        """Return a run that was submitted and not looked at since."""
        return cls(run_id=run.id, state="queued", total=run.total_steps)

    @classmethod
    def completed(cls, result: Result) -> Self:
        """Return a run by its result."""
        steps = _by_id(result.outcomes)
        return cls(run_id=result.run_id, state="completed", ok=result.ok, total=len(steps), steps=steps)

    @classmethod
    def at(cls, status: RunStatus, outcomes: Iterable[Outcome]) -> Self:
        """Return a run by its status and the outcomes there are so far."""
        return cls(
            run_id=status.run_id,
            state=status.state,
            ok=status.ok,
            total=status.total,
            waits_for=list(status.waits_for),
            steps=_by_id(outcomes),
        )


class TaskAnswer(BaseModel):
    """A task, and the run that does it."""

    task_id: str
    run: RunAnswer


class Health(BaseModel):
    """Whether requests can be served: live workers on each queue, and steps that no worker knows."""

    ok: bool
    workers: dict[str, int]
    unknown_steps: list[str]


class ProblemAnswer(BaseModel):
    """One thing that is wrong with a request, and where."""

    path: str
    message: str


class ErrorAnswer(BaseModel):
    """Why a request was not carried out."""

    type: str
    message: str
    problems: list[ProblemAnswer] = []
    run_id: str | None = None


def _by_id(outcomes: Iterable[Outcome]) -> dict[str, StepAnswer]:
    return {outcome.id: StepAnswer.of(outcome) for outcome in outcomes}
