"""The command line: which commands and options there are, and what their values may be."""

import argparse
import importlib.metadata
from collections.abc import Mapping, Sequence

from producer.cli import batch_arguments, site_arguments
from producer.cli.argument_types import json_object, scale
from producer.cli.command_parser import EXIT_CODES, CommandParser, Commands, add_json


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options; ``command`` names the command.

    Raises:
        UsageError: The command line is wrong.
        SystemExit: After ``--help`` and ``--version``, which print by themselves.
    """
    parser, commands = _parsers()
    if not arguments or arguments[0] not in commands:
        return parser.parse_args(arguments)
    # Not by way of the main parser: only so may names stand between options.
    options = commands[arguments[0]].parse_intermixed_args(arguments[1:])
    options.command = arguments[0]
    return options


def _parsers() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """Return the parser of the whole command line, and those of the commands by name."""
    parser = CommandParser(
        prog="stepline", description="Runs batches of named steps on Celery workers.", epilog=EXIT_CODES
    )
    parser.add_argument("--version", action="version", version=f"stepline {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=CommandParser)
    _add_up(commands)
    _add_worker(commands)
    _add_flower(commands)
    _add_health(commands)
    batch_arguments.add_run(commands)
    batch_arguments.add_submit(commands)
    batch_arguments.add_plan(commands)
    _add_explain(commands)
    _add_steps(commands)
    site_arguments.add_runs(commands)
    site_arguments.add_status(commands)
    site_arguments.add_events(commands)
    site_arguments.add_cancel(commands)
    site_arguments.add_pause(commands)
    site_arguments.add_resume(commands)
    site_arguments.add_retry(commands)
    site_arguments.add_stats(commands)
    site_arguments.add_queues(commands)
    site_arguments.add_purge(commands)
    site_arguments.add_doctor(commands)
    return parser, commands.choices


def _add_up(commands: Commands) -> None:
    text = (
        "keep a site running until Ctrl-C or SIGTERM: the workers, Flower, and Redis "
        "(embedded unless STEPLINE_REDIS_URL is set)"
    )
    up = commands.add_parser("up", help=text, description=text)
    up.add_argument(
        "--scale",
        type=scale,
        action="append",
        default=[],
        metavar="QUEUE=N",
        help="workers of a queue (1); can be repeated",
    )
    up.add_argument("--no-flower", action="store_true", help="leave out Flower, the dashboard")


def _add_worker(commands: Commands) -> None:
    text = "run one worker in the foreground, for the site that is up or the Redis of STEPLINE_REDIS_URL"
    worker = commands.add_parser("worker", help=text, description=text)
    worker.add_argument("--queue", required=True, metavar="QUEUE", help="the queue it works on")
    worker.add_argument("--drain", action="store_true", help="end, with code 0, once no step is pending on the queue")


def _add_flower(commands: Commands) -> None:
    text = "run Flower, the dashboard, in the foreground, for the site that is up or the Redis of STEPLINE_REDIS_URL"
    commands.add_parser("flower", help=text, description=text)


def _add_health(commands: Commands) -> None:
    text = "say whether Redis answers and is fit and, with --queue, whether this host has a live worker of that queue"
    health = commands.add_parser("health", help=text, description=text)
    health.add_argument("--queue", metavar="QUEUE", help="the queue that a worker of this host must serve")
    add_json(health)


def _add_explain(commands: Commands) -> None:
    text = "say which class each name has and why; needs no broker"
    explain = commands.add_parser("explain", help=text, description=text)
    explain.add_argument("names", nargs="+", metavar="NAME", help="names of steps, known or not")
    explain.add_argument("--context", type=json_object, default={}, metavar="JSON", help="the context, an object")
    add_json(explain)


def _add_steps(commands: Commands) -> None:
    text = "list the steps that are registered here or known to the workers"
    steps = commands.add_parser("steps", help=text, description=text)
    add_json(steps)


def _version() -> str:
    try:
        return importlib.metadata.version("stepline")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
