"""Where the command starts: reads the arguments, calls the command, turns errors into exit codes."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from producer.cli.arguments import parse
from producer.cli.failures import exit_code, report

COMMANDS: Final = {
    "up": "producer.cli.up",
    "worker": "producer.cli.worker",
    "flower": "producer.cli.flower",
    "health": "producer.cli.health",
    "run": "producer.cli.run",
    "submit": "producer.cli.submit",
    "plan": "producer.cli.plan",
    "explain": "producer.cli.explain",
    "steps": "producer.cli.step_list",
    "runs": "producer.cli.run_list",
    "status": "producer.cli.status",
    "events": "producer.cli.event_lines",
    "cancel": "producer.cli.cancel",
    "pause": "producer.cli.pause",
    "resume": "producer.cli.resume",
    "retry": "producer.cli.retry",
    "stats": "producer.cli.stats",
    "queues": "producer.cli.queues",
    "purge": "producer.cli.purge",
    "doctor": "producer.cli.doctor",
}
"""Module of each command, imported when it is called: ``explain`` must not wait for what ``run`` needs."""


def main(arguments: Sequence[str], *, on_ready: Callable[[], object] = bool) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: Those after the name of the program.
        on_ready: Called before the command begins, when all that it needs is imported.
    """
    try:
        options = parse(arguments)
        execute = importlib.import_module(COMMANDS[options.command]).execute
        on_ready()
        code = execute(options)
        sys.stdout.flush()
        return int(code)
    except BrokenPipeError:
        return _reader_gone()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # The user gets a message, never a traceback.
        report(error, as_json="--json" in arguments)
        return exit_code(error)


def _reader_gone() -> int:
    """Make no more noise once the reader of our output is gone (``stepline steps | head``)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
