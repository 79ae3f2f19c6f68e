"""Asking before something is done that cannot be undone."""

import argparse
import sys

from producer.cli.failures import UsageError


def has_consent(options: argparse.Namespace, question: str) -> bool:
    """Return whether to go on: ``--yes`` says so, or somebody at a terminal does.

    Raises:
        UsageError: There is nobody to ask.
    """
    if options.yes:
        return True
    if options.json or not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to ask on: say --yes")
    sys.stderr.write(f"stepline: {question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
