"""Steps for tests of real workers: what they note, return, raise, and how often they are tried."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from producer import Producer
from steps import GatherInsideStep, Retry, step
from steps.context import StepContext
from tests.support.held_steps import hold, note

TRIED_TWICE_MORE = {"retries": 2, "delay": 0.1, "jitter": False}
"""The retries of the steps with a backoff of each kind: waits of 0.1 s, and then what the kind makes of it."""


@contextmanager
def noted(journal: str, label: str) -> Iterator[None]:
    note(journal, "began", label=label)
    yield
    note(journal, "ended", label=label)


# in a journal ----------------------------------------------------------------------------------------------------


@step(critical=True)
def WriteJournalStep(journal: str, label: str, seconds: float = 0.02) -> None:
    """Note when it begins and ends."""
    with noted(journal, label):
        time.sleep(seconds)


@step(critical=True, lane="session:{session_id}")
def WriteSessionStep(journal: str, label: str, session_id: str, seconds: float = 0.02) -> None:
    with noted(journal, label):
        time.sleep(seconds)


@step(critical=True, lane="session:{session_id}")
def WriteHeldSessionStep(ctx: StepContext, latch: str, session_id: str) -> str:
    return f"{session_id} {hold(ctx, latch)}"


@step
def GetJournalStep(journal: str, label: str, seconds: float = 0.02) -> None:
    with noted(journal, label):
        time.sleep(seconds)


@step
def ReadOutcomesStep(ctx: StepContext, outcomes: list[dict[str, Any]], journal: str) -> None:
    """As a completion body: note what became of every step."""
    note(journal, "body", outcomes=outcomes, effect_key=ctx.effect_key, attempt=ctx.attempt)


@step(critical=True)
def WriteOutcomesStep(ctx: StepContext, outcomes: list[dict[str, Any]], journal: str) -> None:
    """As a critical completion body: note what became of every step."""
    note(journal, "body", outcomes=outcomes, effect_key=ctx.effect_key, attempt=ctx.attempt)


# what comes back -------------------------------------------------------------------------------------------------


@step
def GetEchoStep(value: Any = None) -> Any:
    return value


@step(critical=True)
def WriteEchoStep(value: Any = None) -> Any:
    return value


@step
def GetContextStep(ctx: StepContext) -> dict[str, Any]:
    """Return what a step may know."""
    return {"context": dict(ctx.context), "results": dict(ctx.results), "strategy": ctx.strategy}


@step
class GetReversedStep:
    """A step that is a class: an instance an attempt."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def execute(self, value: list[Any]) -> list[Any]:
        self.seen += value
        return self.seen[::-1]


@step
def GetTextStep(length: int) -> str:
    return "x" * length


@step(critical=True)
def WriteTextStep(length: int) -> str:
    return "x" * length


@step
def GetObjectStep() -> Any:
    return {"a": object()}


@step(critical=True)
def WriteNotANumberStep() -> Any:
    return [float("nan")]


@step
def GetBytesStep() -> Any:
    return b"bytes"


@step(retries=0)
def GetExitStep(code: int = 3) -> None:
    raise SystemExit(code)


@step(retries=0)
async def GetAwaitedExitStep(code: int = 3) -> None:
    raise SystemExit(code)


@step(critical=True)
def WriteExitStep(code: int = 3) -> None:
    raise SystemExit(code)


@step(retries=0)
def GetInterruptStep() -> None:
    raise KeyboardInterrupt


@step(retries=0)
def GetFailureStep(message: str = "no luck") -> None:
    raise ValueError(message)


@step(critical=True)
def WriteFailureStep(message: str = "no luck") -> None:
    raise ValueError(message)


@step(retries=0)
def GetNestedStep() -> dict[str, str]:
    """Submit a run from inside a step, and try to wait for it."""
    with Producer() as producer:
        run = producer.submit(["GetEchoStep"], context={"value": "from inside"})
        try:
            run.gather(timeout=1)
        except GatherInsideStep as error:
            return {"run_id": run.id, "error": type(error).__name__}
    return {"run_id": run.id, "error": ""}


# retries ---------------------------------------------------------------------------------------------------------


def _fail_until(ctx: StepContext, journal: str, succeeds_at: int) -> int:
    note(journal, "began", attempt=ctx.attempt, effect_key=ctx.effect_key, fence=ctx.fence)
    if ctx.attempt < succeeds_at:
        raise ConnectionError(f"attempt {ctx.attempt}")
    return ctx.attempt


@step(backoff="fixed", **TRIED_TWICE_MORE)
def GetFixedStep(ctx: StepContext, journal: str, succeeds_at: int = 3) -> int:
    return _fail_until(ctx, journal, succeeds_at)


@step(backoff="linear", **TRIED_TWICE_MORE)
async def GetLinearStep(ctx: StepContext, journal: str, succeeds_at: int = 3) -> int:
    return _fail_until(ctx, journal, succeeds_at)


@step(backoff="exponential", **TRIED_TWICE_MORE)
def GetExponentialStep(ctx: StepContext, journal: str, succeeds_at: int = 3) -> int:
    return _fail_until(ctx, journal, succeeds_at)


@step(backoff="random", **TRIED_TWICE_MORE)
def GetRandomStep(ctx: StepContext, journal: str, succeeds_at: int = 3) -> int:
    return _fail_until(ctx, journal, succeeds_at)


@step(critical=True, idempotent=True, backoff="linear", **TRIED_TWICE_MORE)
def WriteLinearStep(ctx: StepContext, journal: str, succeeds_at: int = 3) -> int:
    return _fail_until(ctx, journal, succeeds_at)


@step(retries=1)
def GetLaterStep(ctx: StepContext, after: float) -> int:
    """Ask for another attempt so much later."""
    if ctx.attempt == 1:
        raise Retry(after=after)
    return ctx.attempt


# processes of their own ------------------------------------------------------------------------------------------


def _pooled() -> list[int]:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, [-1, -2, -3])


step(name="GetPooledStep", critical=False)(_pooled)
step(name="WritePooledStep", critical=True)(_pooled)


def _forking(journal: str) -> str:
    """Fork a process that returns as the step itself does, only earlier."""
    pid = os.fork()
    if pid == 0:
        return "forked"
    note(journal, "forked", code=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return "step"


step(name="GetForkingStep", critical=False)(_forking)
step(name="WriteForkingStep", critical=True)(_forking)


# limited over the whole site -------------------------------------------------------------------------------------


@step(retries=0, max_running=2)
def GetByTwosStep(journal: str, label: str, seconds: float = 0.02) -> None:
    with noted(journal, label):
        time.sleep(seconds)


@step(critical=True, max_running=1)
def WriteAloneStep(journal: str, label: str, seconds: float = 0.02) -> None:
    with noted(journal, label):
        time.sleep(seconds)


@step(retries=0, max_running=1)
def GetHeldAloneStep(ctx: StepContext, latch: str) -> str:
    return hold(ctx, latch)


@step(retries=0, rate="5/s")
def GetAtARateStep(value: int = 0) -> int:
    return value


# by the rules alone ----------------------------------------------------------------------------------------------


def _register_plain(name: str) -> None:
    def plain(ctx: StepContext) -> str:
        return ctx.step_id

    step(name=name)(plain)


PLAIN_STEPS = (
    "TaskExecutionStep",
    "CreateUserStep",
    "IDEOpenFileStep",
    "GetTaskListStep",
    "ArchiveStep",
    "GetUserPreferencesStep",
    "ReadFileStep",
    "FetchWeatherStep",
    "QueryIndexStep",
)
"""Steps whose decorator says nothing of their class: listed, matched by a pattern, by both kinds, by nothing."""

for _name in PLAIN_STEPS:
    _register_plain(_name)
