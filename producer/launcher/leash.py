"""The program between a parent and its child: ties the child's life to the parent's, then becomes the child.

Run as ``python -I -S leash.py PARENT_PID PROGRAM ARGUMENT...``. It is a program of its own, because code
between fork and exec (``preexec_fn``) isn't safe in a process with threads; and it imports nothing of
Stepline, to start at once.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
"""``prctl`` option: the signal this process gets when the thread that started it ends (kept over exec)."""

ORPHANED = 3
"""Exit code: the parent was gone before the child began."""


def tie_to_parent(parent_pid: int) -> bool:
    """Ask the kernel for SIGTERM at the parent's death; False when the parent is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    return os.getppid() == parent_pid


def main(arguments: Sequence[str]) -> int:
    """Tie this process to ``arguments[0]`` (a pid) and become the program in the rest."""
    parent_pid, program = int(arguments[0]), list(arguments[1:])
    if not tie_to_parent(parent_pid):
        return ORPHANED
    # A parent that waits for signals with sigwait has them blocked, and a mask is inherited.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    return os.execv(program[0], program)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
