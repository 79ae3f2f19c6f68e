"""Steps for the fault tests: each notes its attempts in a journal, has one effect, and may kill what it runs in.

Imported by workers as a step module; what `tests.support.fault_bugs` is told to plant, it plants here.
"""

import ctypes
import os
import resource
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from steps import step
from steps.context import StepContext
from tests.support import fault_bugs
from tests.support.fault_journal import AttemptJournal
from tests.support.fault_target import take

fault_bugs.plant_from_environment()

PULSE_EVERY_S = 0.02
OPEN_SUFFIX = ".open"
LEAK_BYTES = 10_000
MEMORY_LEFT_BYTES = 4 * 1024 * 1024

_kept: list[bytearray] = []


def work(
    ctx: StepContext, folder: str, *, lane: str = "", seconds: float = 0.0, dies: str = "", latch: str = ""
) -> dict[str, int]:
    """Begin, wait, have the effect, end; on the way die as ``dies`` says: ``WHAT@WHEN``, first attempt only.

    WHAT is ``self``, ``parent``, ``group``, ``exit``, ``segfault`` or ``memory``; WHEN ``before``, ``during`` or
    ``after``; with a ``!`` at the end it dies in every attempt. Under a ``latch`` the first attempt waits for a file.
    """
    pen = AttemptJournal(folder, run=ctx.run_id, step=ctx.step_id, attempt=ctx.attempt, fence=ctx.fence)
    what, _, when = dies.rstrip("!").partition("@")
    mine = what if ctx.attempt == 1 or dies.endswith("!") else ""
    pen.write("began")
    _pause(ctx, pen, seconds, latch if ctx.attempt == 1 else "")
    _die(pen, mine, when == "before")
    if not take(
        folder,
        key=ctx.effect_key,
        run=ctx.run_id,
        step=ctx.step_id,
        lane=lane,
        attempt=ctx.attempt,
        fence=ctx.fence,
    ):
        pen.write("refused")
    _die(pen, mine, when == "during")
    pen.write("ended")
    _die(pen, mine, when == "after")
    return {"fence": ctx.fence, "attempt": ctx.attempt}


def _pause(ctx: StepContext, pen: AttemptJournal, seconds: float, latch: str) -> None:
    until_s = time.monotonic() + seconds
    while not ctx.cancelled and (not Path(latch + OPEN_SUFFIX).exists() if latch else time.monotonic() < until_s):
        time.sleep(min(PULSE_EVERY_S, seconds or PULSE_EVERY_S))
        pen.write("pulse")


def _die(pen: AttemptJournal, what: str, is_time: bool) -> None:
    if not what or not is_time:
        return
    pen.write("dies")
    match what:
        case "self":
            os.kill(os.getpid(), signal.SIGKILL)
        case "parent":
            os.kill(os.getppid(), signal.SIGKILL)
            signal.pause()
        case "group":
            os.killpg(0, signal.SIGKILL)
        case "exit":
            os._exit(1)
        case "segfault":
            ctypes.string_at(0)
        case "memory":
            _use_up_memory()


def _use_up_memory() -> None:
    """Leave the process no memory: whatever it needs next, it does not get."""
    used_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes + MEMORY_LEFT_BYTES, resource.RLIM_INFINITY))
    for size in (2**20, 2**14, 2**9):
        with suppress(MemoryError):
            while True:
                _kept.append(bytearray(size))


@step(critical=True)
def WriteFaultStep(
    ctx: StepContext, folder: str, lane: str = "global", seconds: float = 0.0, dies: str = "", latch: str = ""
) -> dict[str, int]:
    return work(ctx, folder, lane=lane, seconds=seconds, dies=dies, latch=latch)


@step(retries=0)
def GetFaultStep(
    ctx: StepContext, folder: str, seconds: float = 0.0, dies: str = "", latch: str = ""
) -> dict[str, int]:
    return work(ctx, folder, seconds=seconds, dies=dies, latch=latch)


@step(retries=0, isolation="process")
def GetFaultAloneStep(ctx: StepContext, folder: str, seconds: float = 0.0, latch: str = "") -> dict[str, int]:
    return work(ctx, folder, seconds=seconds, latch=latch)


@step(critical=True)
def WritePlainFaultStep(value: int = 0) -> int:
    return value


@step(retries=0)
def GetPlainFaultStep(value: int = 0) -> int:
    return value


@step(critical=True)
def WriteWithContextFaultStep(ctx: StepContext, value: int = 0) -> int:
    return value if ctx.attempt == 1 else -1


@step(retries=0)
def GetWithContextFaultStep(ctx: StepContext, value: int = 0) -> int:
    return value if ctx.attempt == 1 else -1


@step(critical=True)
def WriteDeafFaultStep(ctx: StepContext, folder: str, seconds: float, in_c: bool = False) -> dict[str, int]:
    """Ignore every soft stop; ``in_c``: sleep in C all the while, where no handler of Python's runs."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
    if in_c:
        pen = AttemptJournal(folder, run=ctx.run_id, step=ctx.step_id, attempt=ctx.attempt, fence=ctx.fence)
        pen.write("began")
        ctypes.PyDLL(None).sleep(int(seconds))  # the interpreter's lock stays taken
        pen.write("ended")
        return {"fence": ctx.fence, "attempt": ctx.attempt}
    until_s = time.monotonic() + seconds
    pen = AttemptJournal(folder, run=ctx.run_id, step=ctx.step_id, attempt=ctx.attempt, fence=ctx.fence)
    pen.write("began")
    while time.monotonic() < until_s:
        time.sleep(PULSE_EVERY_S)
        pen.write("pulse")
    pen.write("ended")
    return {"fence": ctx.fence, "attempt": ctx.attempt}


@step(retries=0)
def GetLeakingStep(folder: str) -> int:
    """Leave an object in a cycle, an open file and a thread behind, which end by themselves."""
    cycle: list[Any] = [bytearray(LEAK_BYTES)]
    cycle.append(cycle)
    threading.Thread(target=os.close, args=(os.open(folder, os.O_RDONLY),), daemon=True).start()
    return len(cycle)


@step
def GetSumOfOutcomesStep(ctx: StepContext, outcomes: list[dict[str, Any]], folder: str, dies: str = "") -> int:
    """As a completion body: one effect under the body's key."""
    work(ctx, folder, dies=dies)
    return len(outcomes)
