"""Steps for tests of a whole site."""

import subprocess
import sys
import time
from pathlib import Path

from steps import step


@step
def GetSumStep(numbers: list[int]) -> int:
    """Return the sum."""
    return sum(numbers)


@step
def GetTroubleStep() -> None:
    """Fail."""
    raise ValueError("as it was told to")


@step(retries=0)
def GetSleepStep(seconds: float) -> float:
    """Sleep on a thread."""
    time.sleep(seconds)
    return seconds


@step(retries=0)
def GetSlowlyStep(marker: str, seconds: float) -> str:
    """Say on a thread that it has begun by making a file, and sleep."""
    Path(marker).touch()
    time.sleep(seconds)
    return marker


@step(critical=True)
def WriteSlowlyStep(marker: str, seconds: float) -> str:
    """Say that it has begun by making a file, and sleep."""
    Path(marker).touch()
    time.sleep(seconds)
    return marker


@step(critical=True)
def WriteWithFamilyStep(marker: str) -> int:
    """Start a process that moves to a session of its own, then wait for it."""
    pause = [sys.executable, "-c", "import signal; signal.pause()"]
    with subprocess.Popen(pause, start_new_session=True) as family:
        Path(marker).write_text(str(family.pid))
        return family.wait()
