"""The two ways out: one JSON document on standard output, words for people on standard error."""

import json
import sys


def emit_json(document: object) -> None:
    """Write the one JSON document of ``--json``."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Write a line for people on standard error, where it is in nobody's way."""
    sys.stderr.write(f"stepline: {text}\n")
    sys.stderr.flush()
