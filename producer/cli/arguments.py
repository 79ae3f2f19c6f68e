"""The command line: which commands and options there are, and what their values may be."""

import argparse
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, get_args

from config.choices import Mode, Order, Strategy
from producer.cli.failures import UsageError

EXIT_CODES: Final = (
    "exit codes: 0 all ok, 1 a step was not, 2 bad input or usage, 3 no broker, "
    "4 gather timed out (the run goes on), 5 queue full, 130 interrupted (the run is cancelled first)"
)

_JSON_HELP: Final = "print one JSON document on standard output, and nothing else"


class _Parser(argparse.ArgumentParser):
    """A parser that raises instead of ending the process, so that one place reports all errors."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


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
    parser = _Parser(prog="stepline", description="Runs batches of named steps on Celery workers.", epilog=EXIT_CODES)
    parser.add_argument("--version", action="version", version=f"stepline {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_up(commands)
    _add_worker(commands)
    _add_run(commands)
    _add_explain(commands)
    _add_steps(commands)
    return parser, commands.choices


def _add_up(commands: "argparse._SubParsersAction[_Parser]") -> None:
    text = (
        "keep a site running until Ctrl-C or SIGTERM: the workers, and Redis "
        "(embedded unless STEPLINE_REDIS_URL is set)"
    )
    up = commands.add_parser("up", help=text, description=text)
    up.add_argument(
        "--scale",
        type=_scale,
        action="append",
        default=[],
        metavar="QUEUE=N",
        help="workers of a queue (1); can be repeated",
    )


def _add_worker(commands: "argparse._SubParsersAction[_Parser]") -> None:
    text = "run one worker in the foreground, for the site that is up or the Redis of STEPLINE_REDIS_URL"
    worker = commands.add_parser("worker", help=text, description=text)
    worker.add_argument("--queue", required=True, metavar="QUEUE", help="the queue it works on")


def _add_run(commands: "argparse._SubParsersAction[_Parser]") -> None:
    text = "run a batch and show its outcomes; joins the site that is up, else starts one for as long as it runs"
    run = commands.add_parser("run", help=text, description=text, epilog=EXIT_CODES)
    run.add_argument(
        "what", nargs="+", metavar="FILE|NAME", help="one batch file (.yaml, .yml, .json), or names of steps"
    )
    run.add_argument("--context", type=_object, metavar="JSON", help="the context, an object")
    run.add_argument(
        "--params",
        type=_params,
        action="append",
        default=[],
        metavar="[NAME=]JSON",
        help="params of the steps of that name, an object (without NAME=: of the only step); can be repeated",
    )
    run.add_argument("--deadline", type=_seconds, metavar="S", help="seconds for the whole run")
    run.add_argument("--mode", choices=get_args(Mode), help="force how it runs")
    run.add_argument("--order", choices=get_args(Order), help="order of a mixed batch")
    run.add_argument(
        "--strategy", choices=get_args(Strategy), help="basic: a failed critical step skips those after it"
    )
    run.add_argument("--lane", metavar="KEY", help="lane of the critical steps, such as session:{session_id}")
    run.add_argument(
        "--timeout",
        type=_seconds,
        metavar="S",
        help="seconds to wait for the result; the run goes on after it",
    )
    run.add_argument("--json", action="store_true", help=_JSON_HELP)


def _add_explain(commands: "argparse._SubParsersAction[_Parser]") -> None:
    text = "say which class each name has and why; needs no broker"
    explain = commands.add_parser("explain", help=text, description=text)
    explain.add_argument("names", nargs="+", metavar="NAME", help="names of steps, known or not")
    explain.add_argument("--context", type=_object, default={}, metavar="JSON", help="the context, an object")
    explain.add_argument("--json", action="store_true", help=_JSON_HELP)


def _add_steps(commands: "argparse._SubParsersAction[_Parser]") -> None:
    text = "list the steps that are registered here or known to the workers"
    steps = commands.add_parser("steps", help=text, description=text)
    steps.add_argument("--json", action="store_true", help=_JSON_HELP)


def _object(text: str) -> dict[str, Any]:
    """Return the JSON object in an argument (duplicate keys are refused, as in a batch file)."""
    try:
        value = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f'{text!r} is not a JSON object, such as {{"path": "."}}')
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"the key {key!r} is there twice")
        made[key] = value
    return made


def _params(text: str) -> tuple[str | None, dict[str, Any]]:
    """Return (name, params); the name is None where the argument is the object alone."""
    if text.lstrip().startswith("{"):
        return None, _object(text)
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a JSON object nor NAME=JSON")
    return name, _object(value)


def _scale(text: str) -> tuple[str, int]:
    queue, equals, count = text.partition("=")
    if not queue or not equals or not count.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not QUEUE=N, such as parallel=3")
    return queue, int(count)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def _version() -> str:
    try:
        return importlib.metadata.version("stepline")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
