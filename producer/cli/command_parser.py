"""The parser of one command, and what the parsers of all commands share."""

import argparse
from typing import Final, NoReturn, TypeAlias

from producer.cli.failures import UsageError

EXIT_CODES: Final = (
    "exit codes: 0 all ok, 1 a step was not, 2 bad input or usage, 3 no broker, "
    "4 gather timed out (the run goes on), 5 queue full, 130 interrupted (the run is cancelled first)"
)

JSON_HELP: Final = "print one JSON document on standard output, and nothing else"


class CommandParser(argparse.ArgumentParser):
    """A parser that raises instead of ending the process, so that one place reports all errors."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` with the parser's message."""
        raise UsageError(f"{message} (see {self.prog} --help)")


Commands: TypeAlias = "argparse._SubParsersAction[CommandParser]"


def add_json(parser: argparse.ArgumentParser, text: str = JSON_HELP) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help=text)
