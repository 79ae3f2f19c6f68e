"""What processes cost, from ``/proc``: memory as PSS, and processor time."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

BYTES_PER_KIB: Final = 1024
BYTES_PER_MB: Final = 1_000_000

PARENT: Final = 1
USER_TICKS: Final = 11
KERNEL_TICKS: Final = 12
"""Places in ``/proc/PID/stat`` after the name."""

NOT_WORKED: Final = (3, 4, 8, 9)
"""Places in the first line of ``/proc/stat``: idle, waiting for disks, and guests, which are counted elsewhere too."""

_PROC: Final = Path("/proc")


class ProcessGone(Exception):
    """A process whose cost is asked for has ended: a worker died while it was measured."""


def family(pid: int) -> list[int]:
    """Return a process and all of its descendants.

    Raises:
        ProcessGone: There is no such process.
    """
    _fields(pid)
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[PARENT]), []).append(int(entry.name))
    found = [pid]
    for one in found:  # grows meanwhile
        found += children.get(one, [])
    return found


def pss_mb(pids: Iterable[int]) -> float:
    """Return the memory of processes in MB (10^6 bytes), a page that several of them share counted once.

    Of a page shared with processes beyond these their part is counted, as the kernel has it.
    """
    return sum(map(_pss_kib, pids)) * BYTES_PER_KIB / BYTES_PER_MB


def cpu_s(pids: Iterable[int]) -> float:
    """Return the processor time that processes have taken so far, in user and kernel, in seconds.

    Raises:
        ProcessGone: One of them has ended.
    """
    ticks = sum(int(_fields(pid)[place]) for pid in pids for place in (USER_TICKS, KERNEL_TICKS))
    return ticks / os.sysconf("SC_CLK_TCK")


def machine_s() -> float:
    """Return the processor time that all programs have taken since the machine started, in seconds."""
    columns = (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:]
    ticks = sum(map(int, columns)) - sum(int(columns[place]) for place in NOT_WORKED)
    return ticks / os.sysconf("SC_CLK_TCK")


def _pss_kib(pid: int) -> int:
    lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _fields(pid: int) -> list[str]:
    fields = _stat(pid)
    if fields is None:
        raise ProcessGone(f"process {pid} has ended")
    return fields


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # The name before it may hold blanks and brackets.
