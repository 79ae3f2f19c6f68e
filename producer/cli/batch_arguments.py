"""The command lines of ``run``, ``submit`` and ``plan``: what batch, and with which options."""

import argparse
from typing import get_args

from config.choices import Mode, Order, Priority, Strategy
from producer.cli.argument_types import json_object, params, seconds
from producer.cli.command_parser import EXIT_CODES, Commands, add_json


def add_run(commands: Commands) -> None:
    """Add ``stepline run``."""
    text = "run a batch and show its outcomes; joins the site that is up, else starts one for as long as it runs"
    run = commands.add_parser("run", help=text, description=text, epilog=EXIT_CODES)
    _add_batch(run)
    run.add_argument(
        "--timeout",
        type=seconds,
        metavar="S",
        help="seconds to wait for the result; the run goes on after it",
    )
    add_json(run)


def add_submit(commands: Commands) -> None:
    """Add ``stepline submit``."""
    text = "hand a batch to the site that is up, print the id of its run and do not wait"
    submit = commands.add_parser("submit", help=text, description=text, epilog=EXIT_CODES)
    _add_batch(submit)
    add_json(submit)


def add_plan(commands: Commands) -> None:
    """Add ``stepline plan``."""
    text = (
        "show what a batch would become: classes, lanes, parcels, expected time; nothing is written, no site is needed"
    )
    plan = commands.add_parser("plan", help=text, description=text)
    _add_batch(plan)
    add_json(plan)


def _add_batch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", nargs="+", metavar="FILE|NAME", help="one batch file (.yaml, .yml, .json), or names of steps"
    )
    parser.add_argument("--context", type=json_object, metavar="JSON", help="the context, an object")
    parser.add_argument(
        "--params",
        type=params,
        action="append",
        default=[],
        metavar="[NAME=]JSON",
        help="params of the steps of that name, an object (without NAME=: of the only step); can be repeated",
    )
    parser.add_argument("--deadline", type=seconds, metavar="S", help="seconds for the whole run")
    parser.add_argument("--mode", choices=get_args(Mode), help="force how it runs")
    parser.add_argument("--order", choices=get_args(Order), help="order of a mixed batch")
    parser.add_argument(
        "--strategy", choices=get_args(Strategy), help="basic: a failed critical step skips those after it"
    )
    parser.add_argument("--lane", metavar="KEY", help="lane of the critical steps, such as session:{session_id}")
    parser.add_argument("--name", metavar="N", help="what lists call the run")
    parser.add_argument("--priority", choices=get_args(Priority), help="how urgent the run is")
    parser.add_argument(
        "--after", action="append", metavar="RUN", help="start when that run is completed; can be repeated"
    )
    parser.add_argument(
        "--idempotency-key", metavar="KEY", help="the same batch submitted again under it is the run that is there"
    )
    parser.add_argument(
        "--supersede", metavar="PLACE", help="take a place such as view:42; the run that has it is cancelled"
    )
    parser.add_argument(
        "--queue-timeout", type=seconds, metavar="S", help="seconds until its first step must have started"
    )
