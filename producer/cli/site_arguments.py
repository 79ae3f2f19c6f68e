"""The command lines of the commands that look at a site and its runs, or steer them."""

import argparse
from typing import Final

from producer.cli.argument_types import count, duration
from producer.cli.command_parser import Commands, add_json

RUN_STATES: Final = ("waiting", "queued", "running", "paused", "stopping", "completed")
"""States that runs of a list can be in."""

SHOWN_RUNS: Final = 50
"""How many runs a list has unless it is told otherwise."""

LINES_HELP: Final = "print one JSON object a line: the one command that prints more than one document"


def add_runs(commands: Commands) -> None:
    """Add ``stepline runs``."""
    text = "list the runs of the site, newest first"
    runs = commands.add_parser("runs", help=text, description=text)
    runs.add_argument("--state", choices=RUN_STATES, help="only those in this state")
    runs.add_argument("--name", metavar="N", help="only those of this name")
    runs.add_argument("--failed", action="store_true", help="only those that are completed and not ok")
    runs.add_argument(
        "--since", type=duration, metavar="TIME", help="only those submitted or completed in the last 90s, 15m, 1h, 2d"
    )
    runs.add_argument("--limit", type=count, default=SHOWN_RUNS, metavar="N", help=f"so many at most ({SHOWN_RUNS})")
    add_json(runs)


def add_status(commands: Commands) -> None:
    """Add ``stepline status``."""
    _add_of_run(commands, "status", "say how a run stands: state, times, counts, and what it waits for")


def add_events(commands: Commands) -> None:
    """Add ``stepline events``."""
    text = "print what happened in a run, oldest first"
    events = commands.add_parser("events", help=text, description=text)
    _add_run_id(events)
    events.add_argument("--follow", action="store_true", help="go on until the run is completed")
    add_json(events, LINES_HELP)


def add_cancel(commands: Commands) -> None:
    """Add ``stepline cancel``."""
    text = "cancel a run, or one step of it: what has not started never starts, what runs is stopped where it can be"
    cancel = _add_of_run(commands, "cancel", text)
    cancel.add_argument("step", nargs="?", metavar="STEP", help="the id of a step; without it the whole run")


def add_pause(commands: Commands) -> None:
    """Add ``stepline pause``."""
    _add_of_run(commands, "pause", "let nothing of a run start any more; what runs, runs on, and nobody waits for it")


def add_resume(commands: Commands) -> None:
    """Add ``stepline resume``."""
    _add_of_run(commands, "resume", "let a paused run go on, from the end of the line in its lanes")


def add_retry(commands: Commands) -> None:
    """Add ``stepline retry``."""
    _add_of_run(commands, "retry", "run again what did not succeed in a completed run; prints the id of the new run")


def add_stats(commands: Commands) -> None:
    """Add ``stepline stats``."""
    text = "show what the site has executed so far: counts, rates, times, each step, the classifier"
    add_json(commands.add_parser("stats", help=text, description=text))


def add_queues(commands: Commands) -> None:
    """Add ``stepline queues``, with its part ``clear``."""
    text = "show queues, workers and lanes; 'clear NAME' cancels all in a queue that has not started"
    queues = commands.add_parser("queues", help=text, description=text)
    queues.add_argument("action", nargs="?", choices=["clear"], metavar="clear", help="cancel what waits in a queue")
    queues.add_argument("queue", nargs="?", metavar="NAME", help="the queue to clear")
    _add_yes(queues)
    add_json(queues)


def add_purge(commands: Commands) -> None:
    """Add ``stepline purge``."""
    text = "forget completed runs now, before their results expire"
    purge = commands.add_parser("purge", help=text, description=text)
    purge.add_argument(
        "--older-than",
        type=duration,
        default=0.0,
        metavar="TIME",
        help="only those completed so long ago: 90s, 15m, 1h, 2d",
    )
    _add_yes(purge)
    add_json(purge)


def add_doctor(commands: Commands) -> None:
    """Add ``stepline doctor``."""
    text = "check Redis, broker, versions, workers and steps, and show the settings in force with their sources"
    doctor = commands.add_parser("doctor", help=text, description=text)
    doctor.add_argument(
        "--dead-letters",
        action="store_true",
        help="instead, print the messages that no worker understood, newest first",
    )
    add_json(doctor)


def _add_of_run(commands: Commands, name: str, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    _add_run_id(parser)
    add_json(parser)
    return parser


def _add_run_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_id", metavar="RUN", help="id of the run, as submit and run print it")


def _add_yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask; needed where there is no terminal to ask on")
