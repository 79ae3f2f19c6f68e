"""The first code of the command: imports the rest of it, so that an early Ctrl-C shows no traceback."""

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import Final

INTERRUPTED: Final = 130

WORDS: Final = b"stepline: interrupted\n"
DOCUMENT: Final = b'{"error": {"type": "Interrupted", "message": "interrupted", "problems": []}}\n'
"""What is said of an interrupt before there is anything to cancel; the second with ``--json``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; ``arguments`` are those of the process by default."""
    if arguments is not None:
        return int(import_module("producer.cli.entry").main(arguments))
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    try:
        return int(import_module("producer.cli.entry").main(sys.argv[1:], on_ready=_raise_again))
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # An interrupt of Python's own end would show a traceback.


def _leave(signum: int, frame: FrameType | None) -> None:
    """End at once: nothing has been started yet, and an exception in an import could be swallowed there."""
    if "--json" in sys.argv:
        os.write(1, DOCUMENT)
    else:
        os.write(2, WORDS)
    os._exit(INTERRUPTED)


def _raise_again() -> None:
    """From now on let Ctrl-C raise KeyboardInterrupt: the command cleans up after itself."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
