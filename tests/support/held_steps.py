"""Steps for tests of real workers that run until a test lets them go, and say so in a journal.

A latch is a path: the step notes in it that it began, and waits until there is a file of that name ending in
``.open``. What is noted is one JSON line each: what, the process, the monotonic time, and more.
"""

import asyncio
import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from steps import StepTimeout, step
from steps.context import StepContext

LOOK_EVERY_S = 0.005
"""Between two looks for the file that lets a step go."""

OPEN_SUFFIX = ".open"


def note(journal: str, what: str, **more: Any) -> None:
    """Append a line in one write, so that those of several processes do not mix."""
    line = json.dumps({"what": what, "pid": os.getpid(), "at_s": time.monotonic(), **more})
    with Path(journal).open("a") as file:
        file.write(f"{line}\n")


def is_open(latch: str) -> bool:
    return Path(latch + OPEN_SUFFIX).exists()


def hold(ctx: StepContext, latch: str) -> str:
    """Say that the step began; return when it is let go or told to stop."""
    note(latch, "began", step=ctx.step_id, attempt=ctx.attempt, fence=ctx.fence)
    while not is_open(latch):
        if ctx.cancelled:
            note(latch, "told to stop")
            return "told to stop"
        time.sleep(LOOK_EVERY_S)
    return "let go"


@step(retries=0)
def GetHeldStep(ctx: StepContext, latch: str) -> str:
    return hold(ctx, latch)


@step(retries=0)
def GetHeldOnceStep(ctx: StepContext, latch: str) -> str:
    """Wait in the first attempt only."""
    return hold(ctx, latch) if ctx.attempt == 1 else note(latch, "again", attempt=ctx.attempt) or "again"


@step(retries=0)
def GetHeldEachTimeStep(ctx: StepContext, latch: str) -> int:
    """Wait in every attempt, each at a latch of its own."""
    hold(ctx, f"{latch}-{ctx.attempt}")
    return ctx.attempt


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


def _deaf_once(ctx: StepContext, latch: str) -> int:
    note(latch, "began", attempt=ctx.attempt)
    with suppress(BaseException):
        while ctx.attempt == 1 and not is_open(latch):
            time.sleep(LOOK_EVERY_S)
            note(latch, "pulse")
    while ctx.attempt == 1 and not is_open(latch):
        time.sleep(LOOK_EVERY_S)
        note(latch, "pulse")
    return ctx.attempt


AFTER_TIME_OUTS: dict[str, Any] = {
    "retries": 1,
    "retry_on": StepTimeout,
    "delay": 0.0,
    "backoff": "fixed",
    "jitter": False,
}
"""A step that swallows its time-out in the first attempt, and is tried again at once."""

step(name="WriteDeafOnceStep", critical=True, **AFTER_TIME_OUTS)(_deaf_once)
step(name="GetDeafOnceStep", critical=False, **AFTER_TIME_OUTS)(_deaf_once)
step(name="GetDeafOnceAloneStep", critical=False, isolation="process", **AFTER_TIME_OUTS)(_deaf_once)


@step(critical=True)
def WriteDeafFamilyStep(latch: str) -> None:
    """Start a process that writes, and ignore the soft stop."""
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    note(latch, "began")
    os.fork()
    while not is_open(latch):
        with suppress(BaseException):
            note(latch, "pulse")
            time.sleep(LOOK_EVERY_S)
    os._exit(0)


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
