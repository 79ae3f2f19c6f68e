"""The Compose file as Compose reads it: loaded, and with its variables filled in."""

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.support.processes import ROOT

COMPOSE_FILE = ROOT / "docker-compose.yml"

_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:-|:\?)([^}]*))?\})")
_SECONDS_IN = {"s": 1.0, "m": 60.0}


def load_compose() -> dict[str, Any]:
    """Return the file with its merges done and its variables as they stand; no two services share a part of it."""
    text = json.dumps(yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8")))
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def filled_in(value: Any, variables: Mapping[str, str]) -> Any:
    """Return a value with ``$$``, ``${NAME}``, ``${NAME:-default}`` and ``${NAME:?reason}`` replaced everywhere in it.

    Raises:
        LookupError: A variable that must be set is not; the text is the file's reason.
    """
    match value:
        case str():
            assert "$" not in _VARIABLE.sub("", value), f"{value!r} holds a variable that only newer Composes know"
            return _VARIABLE.sub(lambda found: _replacement(found, variables), value)
        case dict():
            return {key: filled_in(inner, variables) for key, inner in value.items()}
        case list():
            return [filled_in(inner, variables) for inner in value]
        case _:
            return value


def variables_of(value: str) -> list[tuple[str, str]]:
    """Return (name, default) of each variable in a text; the default is empty where there is none."""
    found = [match for match in _VARIABLE.finditer(value) if match[1]]
    return [(match[1], match[3] if match[2] == ":-" else "") for match in found]


def without_variables(value: str) -> str:
    """Return what of a text stands in the file itself."""
    return _VARIABLE.sub("", value)


def seconds(duration: str) -> float:
    """Return the seconds of ``30s`` or ``2m``."""
    return float(duration[:-1]) * _SECONDS_IN[duration[-1]]


def megabytes(size: str) -> float:
    """Return the MiB of ``512M``, ``512mb`` or ``1G``."""
    number, unit = size.lower().rstrip("b")[:-1], size.lower().rstrip("b")[-1]
    return float(number) * {"m": 1, "g": 1024}[unit]


def _replacement(found: re.Match[str], variables: Mapping[str, str]) -> str:
    name, kind, rest = found.groups()
    if name is None:
        return "$"
    if given := variables.get(name, ""):
        return given
    if kind == ":?":
        raise LookupError(f"{name}: {rest}")
    return rest or ""
