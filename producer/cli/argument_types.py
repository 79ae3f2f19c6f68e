"""What a value on the command line may be: each function reads one kind, or says what was wrong with it."""

import argparse
import json
import re
from typing import Any, Final

DURATION_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
"""Seconds in each unit of a duration."""

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")


def json_object(text: str) -> dict[str, Any]:
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


def params(text: str) -> tuple[str | None, dict[str, Any]]:
    """Return (name, params); the name is None where the argument is the object alone."""
    if text.lstrip().startswith("{"):
        return None, json_object(text)
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a JSON object nor NAME=JSON")
    return name, json_object(value)


def scale(text: str) -> tuple[str, int]:
    """Return (queue, number of workers) of ``parallel=3``."""
    queue, equals, count = text.partition("=")
    if not queue or not equals or not count.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not QUEUE=N, such as parallel=3")
    return queue, int(count)


def seconds(text: str) -> float:
    """Return a finite number of seconds above 0."""
    try:
        given = float(text)
    except ValueError:
        given = -1.0
    if not 0 < given < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return given


def duration(text: str) -> float:
    """Return the seconds of ``90``, ``90s``, ``15m``, ``1h`` or ``2d``."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration, such as 90s, 15m, 1h or 2d")
    return float(match[1]) * DURATION_UNITS_S[match[2] or "s"]


def count(text: str) -> int:
    """Return a whole number above 0."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
