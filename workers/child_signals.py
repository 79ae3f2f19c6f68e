"""What a prefork child makes of the signals that end processes, while it works off a parcel."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

FINISH: Final = (signal.SIGTERM, signal.SIGHUP)
"""To a child they mean what they mean to its worker: finish the step at hand, begin no more, end."""

QUIT_EXIT: Final = 71
"""Exit code of a child that was told to end at once."""

LEAVE_AFTER_S: Final = 0.05
"""So long after its parcel a child ends that was told to finish: Celery has taken its answer by then, mostly."""


class ChildSignals:
    """Keeps signals from becoming exceptions in a step's code, which could take them for its own or swallow them.

    Celery's children raise `SystemExit` wherever they are. Here SIGTERM lets the step finish, as some that stop a
    worker tell each of its processes and not only the first; half of a step done twice would be the worse answer.
    SIGQUIT ends the child at once, and its step is given back. SIGINT is ignored: a terminal tells the worker too.

    Args:
        give_back: Called before the child ends at once: what it holds is nobody's fault.
    """

    def __init__(self, *, give_back: Callable[[], object]) -> None:
        self._give_back = give_back
        self.is_leaving = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hear the signals so for the block, whatever the steps before made of them; Celery's way outside of it."""
        numbers = (*FINISH, signal.SIGQUIT)
        before = {number: signal.getsignal(number) for number in numbers}
        for number in FINISH:
            signal.signal(number, self._finish)
        signal.signal(signal.SIGQUIT, self._quit)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if self.is_leaving:
                self._leave()

    def _finish(self, *_: object) -> None:
        self.is_leaving = True

    def _quit(self, *_: object) -> None:
        self._give_back()
        os._exit(QUIT_EXIT)

    def _leave(self) -> None:
        """End as an idle child does, between two parcels; one that came in between is not torn."""
        self.is_leaving = False
        timer = threading.Timer(LEAVE_AFTER_S, os.kill, (os.getpid(), signal.SIGTERM))
        timer.daemon = True
        timer.start()
