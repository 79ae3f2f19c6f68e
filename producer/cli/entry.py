"""Where the command starts: reads the arguments, calls the command, turns errors into exit codes."""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

from producer.cli.arguments import parse
from producer.cli.failures import exit_code, report

COMMANDS: Final = {
    "up": "producer.cli.up",
    "worker": "producer.cli.worker",
    "run": "producer.cli.run",
    "explain": "producer.cli.explain",
    "steps": "producer.cli.step_list",
}
"""Module of each command, imported when it is called: ``explain`` must not wait for what ``run`` needs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; ``arguments`` are those of the process by default."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = parse(given)
        code = importlib.import_module(COMMANDS[options.command]).execute(options)
        sys.stdout.flush()
        return int(code)
    except BrokenPipeError:
        return _reader_gone()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # The user gets a message, never a traceback.
        report(error, as_json="--json" in given)
        return exit_code(error)


def _reader_gone() -> int:
    """Make no more noise once the reader of our output is gone (``stepline steps | head``)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
