"""Steps for tests of real workers: they note in a journal what they do, and wait for a test to let them go.

A latch is a path: the step notes in it that it began, and waits until there is a file of that name ending in
``.open``. What is noted is one JSON line each: what, the process, the monotonic time, and more.
"""

import asyncio
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from producer import Producer
from steps import GatherInsideStep, StepTimeout, step
from steps.context import StepContext

LOOK_EVERY_S = 0.005
"""Between two looks for the file that lets a step go."""

OPEN_SUFFIX = ".open"

TRIED_TWICE_MORE = {"retries": 2, "delay": 0.1, "jitter": False}
"""The retries of the steps with a backoff of each kind: waits of 0.1 s, and then what the kind makes of it."""


def note(journal: str, what: str, **more: Any) -> None:
    """Append a line in one write, so that those of several processes do not mix."""
    line = json.dumps({"what": what, "pid": os.getpid(), "at_s": time.monotonic(), **more})
    with Path(journal).open("a") as file:
        file.write(f"{line}\n")


def is_open(latch: str) -> bool:
    return Path(latch + OPEN_SUFFIX).exists()


@contextmanager
def noted(journal: str, label: str) -> Iterator[None]:
    note(journal, "began", label=label)
    yield
    note(journal, "ended", label=label)


def hold(ctx: StepContext, latch: str) -> str:
    """Say that the step began; return when it is let go or told to stop."""
    note(latch, "began", step=ctx.step_id, attempt=ctx.attempt, fence=ctx.fence)
    while not is_open(latch):
        if ctx.cancelled:
            note(latch, "told to stop")
            return "told to stop"
        time.sleep(LOOK_EVERY_S)
    return "let go"


# held until a test lets them go ----------------------------------------------------------------------------------


@step(retries=0)
def GetHeldStep(ctx: StepContext, latch: str) -> str:
    return hold(ctx, latch)


@step(retries=0)
def GetHeldOnceStep(ctx: StepContext, latch: str) -> str:
    """Wait in the first attempt only."""
    return hold(ctx, latch) if ctx.attempt == 1 else note(latch, "again", attempt=ctx.attempt) or "again"


@step(critical=True)
def WriteHeldStep(ctx: StepContext, latch: str) -> str:
    try:
        return hold(ctx, latch)
    except StepTimeout:
        note(latch, "stopped softly")
        raise


@step(critical=True)
def WriteHeldOnceStep(ctx: StepContext, latch: str) -> str:
    """Wait in the first attempt only."""
    return hold(ctx, latch) if ctx.attempt == 1 else note(latch, "again", attempt=ctx.attempt) or "again"


async def _hold_awaiting(ctx: StepContext, latch: str) -> str:
    note(latch, "began", step=ctx.step_id, attempt=ctx.attempt)
    try:
        while not is_open(latch):
            await asyncio.sleep(LOOK_EVERY_S)
    except asyncio.CancelledError:
        note(latch, "cancelled")
        raise
    return "let go"


@step(retries=0)
async def GetAwaitedStep(ctx: StepContext, latch: str) -> str:
    return await _hold_awaiting(ctx, latch)


@step(critical=True)
async def WriteAwaitedStep(ctx: StepContext, latch: str) -> str:
    return await _hold_awaiting(ctx, latch)


@step(retries=0)
def GetDeafStep(latch: str) -> None:
    """Wait to be let go, whatever it is told."""
    note(latch, "began")
    while not is_open(latch):
        time.sleep(LOOK_EVERY_S)
    note(latch, "ended")


@step(critical=True)
def WriteDeafStep(latch: str) -> None:
    """Ignore the soft stop and everything else that can be ignored."""
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    note(latch, "began")
    while not is_open(latch):
        with suppress(BaseException):
            time.sleep(60)


@step(critical=True)
def WriteSwallowingStep(latch: str) -> None:
    """Swallow whatever is raised in it."""
    note(latch, "began")
    while not is_open(latch):
        try:
            while not is_open(latch):
                time.sleep(LOOK_EVERY_S)
        except BaseException:
            note(latch, "swallowed")


@step(critical=True, retries=5)
def WriteSuicideStep(latch: str) -> None:
    """Kill the process it runs in, every time."""
    note(latch, "began")
    os.kill(os.getpid(), signal.SIGKILL)


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


# processes of their own ------------------------------------------------------------------------------------------


def _pooled() -> list[int]:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, [-1, -2, -3])


step(name="GetPooledStep", critical=False)(_pooled)
step(name="WritePooledStep", critical=True)(_pooled)


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
