"""Reads JSON strictly: a key that stands twice in one object is a problem with a path, not a silent loss."""

import json
from collections import Counter
from typing import Any

from steps.errors import InvalidBatch
from steps.json_value import join_path
from steps.problem import Problem


def read_json(text: str, *, source: str, max_depth: int) -> tuple[Any, list[Problem]]:
    """Return the value of a JSON text and what is wrong inside it.

    Args:
        text: The whole of it.
        source: What messages call it.
        max_depth: How deep its lists and objects may be nested.

    Raises:
        InvalidBatch: It is no JSON at all.
    """
    seen_twice: list[_Doubled] = []
    try:
        value = json.loads(text, object_pairs_hook=lambda pairs: _object(pairs, seen_twice))
    except json.JSONDecodeError as error:
        message = f"is not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        raise InvalidBatch([Problem(source, message)]) from None
    except RecursionError:
        raise InvalidBatch([Problem(source, "is nested too deep")]) from None
    except ValueError:
        raise InvalidBatch([Problem(source, "holds an integer of too many digits")]) from None
    problems: list[Problem] = []
    if seen_twice:
        _find_doubled(value, [], max_depth, problems)
    return value, problems


class _Doubled(dict[str, Any]):
    """An object that was written with some key twice."""

    keys_twice: list[str]


def _object(pairs: list[tuple[str, Any]], seen_twice: list[_Doubled]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    doubled = _Doubled(plain)
    doubled.keys_twice = _repeated([key for key, _ in pairs])
    seen_twice.append(doubled)
    return doubled


def _repeated(keys: list[str]) -> list[str]:
    return [key for key, count in Counter(keys).items() if count > 1]


def _find_doubled(value: object, trail: list[str | int], max_depth: int, problems: list[Problem]) -> None:
    if len(trail) > max_depth or not isinstance(value, dict | list):
        return  # Too deep is refused where the batch is read.
    if isinstance(value, _Doubled):
        problems += [Problem(join_path("", [*trail, key]), "is given twice") for key in value.keys_twice]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        _find_doubled(item, [*trail, key], max_depth, problems)
