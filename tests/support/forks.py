"""Forks of the test's own process, that run one function and end."""

import os
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

FAILED = 1


@contextmanager
def forked(function: Callable[[], object]) -> Iterator[int]:
    """Run ``function`` in a fork for the block, yields its pid; in the end it is killed if it still runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of other tests: the child touches none of them
        pid = os.fork()
    if pid == 0:
        code = FAILED
        with suppress(BaseException):
            function()
            code = 0
        os._exit(code)
    descriptor = os.pidfd_open(pid)
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
        os.close(descriptor)


def code_of(pid: int) -> int:
    """Wait for a fork's end and return its exit code, below 0 for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
