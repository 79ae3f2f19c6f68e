"""Steps for tests of processes of their own: what they return, how they die, what they leave behind."""

import asyncio
import ctypes
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, PlainSerializer

from producer import Producer
from steps import GatherInsideStep, Retry, StepTimeout, step
from steps.context import StepContext
from tests.support.held_steps import LOOK_EVERY_S, hold, is_open, note

HARMLESS = (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH)
"""Signals that end nothing."""

Doubled = Annotated[int, PlainSerializer(lambda value: 2 * value)]


class Page(BaseModel):
    number: Doubled


@step(critical=False, isolation="process", retries=0)
def GetOwnEchoStep(value: Any = None) -> Any:
    return value


@step(critical=False, isolation="process", retries=0)
def GetOwnPageStep(number: int) -> Page:
    """Return what is written otherwise than it is read."""
    return Page(number=number)


@step(critical=False, isolation="process", retries=0)
async def GetOwnAwaitedStep(value: Any = None) -> Any:
    await asyncio.sleep(0)
    return value


@step(critical=False, isolation="process", retries=0)
class GetOwnClassStep:
    """A step that is a class."""

    def execute(self, ctx: StepContext) -> dict[str, Any]:
        return _told(ctx)


@step(critical=False, isolation="process", retries=0)
def GetOwnContextStep(ctx: StepContext) -> dict[str, Any]:
    return _told(ctx)


def _told(ctx: StepContext) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "context": dict(ctx.context),
        "results": dict(ctx.results),
        "fence": ctx.fence,
        "attempt": ctx.attempt,
        "effect_key": ctx.effect_key,
        "cancelled": ctx.cancelled,
        "remaining_s": ctx.remaining_s,
    }


# how it ends -----------------------------------------------------------------------------------------------------


@step(critical=False, isolation="process", retries=0)
def GetOwnFailureStep(how: str = "raises") -> Any:
    if how == "exits":
        sys.exit(3)
    if how == "is interrupted":
        raise KeyboardInterrupt
    if how == "is no JSON":
        return object()
    if how == "asks for a retry":
        raise Retry(after=2.5, reason="later")
    raise ValueError("no luck")


@step(critical=False, isolation="process", retries=2, backoff="fixed", delay=0.1)
def GetOwnSecondChanceStep(ctx: StepContext, journal: str, succeeds_at: int) -> int:
    note(journal, "began", effect_key=ctx.effect_key)
    if ctx.attempt < succeeds_at:
        raise ConnectionError(f"attempt {ctx.attempt}")
    return ctx.attempt


@step(critical=False, isolation="process", retries=0)
def GetOwnTextStep(length: int) -> str:
    return "x" * length


@step(critical=False, isolation="process", retries=0)
def GetOwnFloodStep(lines: int) -> int:
    """Print more than a pipe holds."""
    for _ in range(lines):
        print("x" * 1000)
        sys.stderr.write("y" * 1000 + "\n")
    return lines


@step(critical=False, isolation="process", retries=0)
def GetOwnDeathStep(journal: str, signum: int = signal.SIGKILL, code: int | None = None) -> None:
    """End the process it runs in, every time."""
    note(journal, "began")
    if code is not None:
        os._exit(code)
    if signum not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    time.sleep(60)


@step(critical=False, isolation="process", retries=0)
def GetOwnParentKillerStep() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


@step(critical=False, isolation="process", retries=0)
def GetOwnCrashStep() -> None:
    """Read where there is nothing."""
    ctypes.string_at(0)


@step(critical=False, isolation="process", retries=0)
def GetOwnForkedStep() -> str:
    """Fork a process that returns as the step itself does, only earlier."""
    pid = os.fork()
    if pid == 0:
        return "forked"
    os.waitpid(pid, 0)
    return "step"


@step(critical=False, isolation="process", retries=0)
def GetOwnPooledStep() -> list[int]:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, [-1, -2, -3])


@step(critical=False, isolation="process", retries=0)
def GetOwnNestedStep() -> dict[str, str]:
    """Submit a run from inside a step, and try to wait for it."""
    with Producer() as producer:
        run = producer.submit(["GetEchoStep"], context={"value": "from inside"})
        try:
            run.gather(timeout=1)
        except GatherInsideStep as error:
            return {"run_id": run.id, "error": type(error).__name__}
    return {"run_id": run.id, "error": ""}


# what it leaves behind -------------------------------------------------------------------------------------------


@step(critical=False, isolation="process", retries=0)
def GetOwnLitterStep(journal: str, ends: str = "returns") -> str:
    """Leave children behind: one of its session, one of its own, and one that nobody is the parent of."""
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    left = [subprocess.Popen(sleeper).pid, subprocess.Popen(sleeper, start_new_session=True).pid, _let_go(journal)]
    note(journal, "left", pids=left)
    if ends == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if ends == "kills its parent":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
    while ends == "overruns":
        with suppress(StepTimeout):
            time.sleep(600)
    return "left"


def _let_go(journal: str) -> int:
    """Fork twice, so that the second child belongs to nobody; both hold all that this process has open."""
    if (pid := os.fork()) == 0:
        os.setsid()
        if os.fork() == 0:
            Path(journal + ".orphan").write_text(json.dumps(os.getpid()))
            time.sleep(600)
        os._exit(0)
    os.waitpid(pid, 0)
    orphan = Path(journal + ".orphan")
    while not orphan.exists() or not orphan.read_text():
        time.sleep(LOOK_EVERY_S)
    return int(orphan.read_text())


# held ------------------------------------------------------------------------------------------------------------


@step(critical=False, isolation="process", retries=0)
def GetOwnHeldStep(ctx: StepContext, latch: str) -> str:
    try:
        return hold(ctx, latch)
    except StepTimeout:
        note(latch, "stopped softly", cancelled=ctx.cancelled)
        raise


@step(critical=False, isolation="process", retries=0)
async def GetOwnHeldAwaitedStep(latch: str) -> str:
    note(latch, "began")
    try:
        while not is_open(latch):
            await asyncio.sleep(LOOK_EVERY_S)
    except asyncio.CancelledError:
        note(latch, "cancelled")
        raise
    return "let go"


def _be_deaf(latch: str) -> None:
    """Ignore all that can be ignored."""
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    note(latch, "began")
    while not is_open(latch):
        with suppress(BaseException):
            time.sleep(60)


step(name="GetOwnDeafStep", critical=False, isolation="process", retries=0)(_be_deaf)
step(name="GetOwnDeafAgainStep", critical=False, isolation="process", retries=1, retry_on=StepTimeout)(_be_deaf)


@step(critical=False, isolation="process", retries=0)
def GetOwnSwallowingStep(ctx: StepContext, latch: str) -> str:
    """Swallow what is raised in it, and see that it is cancelled."""
    note(latch, "began")
    while not is_open(latch):
        try:
            while not is_open(latch):
                time.sleep(LOOK_EVERY_S)
        except BaseException:
            note(latch, "swallowed", cancelled=ctx.cancelled)
    return "let go"


@step(critical=False, isolation="process", retries=0)
async def GetOwnBlockedLoopStep(latch: str) -> None:
    """Block the event loop it runs on."""
    note(latch, "began")
    while not is_open(latch):
        time.sleep(LOOK_EVERY_S)


@step(critical=False, isolation="process", retries=0)
def GetOwnFrozenStep(journal: str) -> None:
    """Stop itself, and the process that watches it."""
    note(journal, "began")
    os.kill(os.getppid(), signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGSTOP)


# on a thread beside others ---------------------------------------------------------------------------------------


@step(critical=False, retries=0)
def GetPoisonStep(latch: str) -> None:
    """Kill the process it runs in, every time, once it is let go."""
    note(latch, "began")
    while not is_open(latch):
        time.sleep(LOOK_EVERY_S)
    note(latch, "killing")
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


@step(critical=False, retries=0)
async def GetPoisonAwaitedStep(latch: str) -> None:
    """The same, on the event loop."""
    note(latch, "began")
    while not is_open(latch):
        await asyncio.sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(60)
