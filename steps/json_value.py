"""What may travel as JSON: values that a round trip brings back as they were, within depth and size."""

import contextlib
import json
import math
from collections.abc import Sequence
from typing import Any, Final

from steps.problem import Problem

MAX_INT_BITS: Final = 2048
"""Longest integer, about 616 digits: Python may be set to refuse reading more than 640."""

MAX_PROBLEMS_A_VALUE: Final = 20
"""Where a value has more problems than this, the rest of it is not looked at."""

MAX_KEY_SHOWN: Final = 60
"""How many characters of a key a path shows."""

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))


def encode(value: Any) -> str:
    """Return a checked value as compact JSON; characters beyond ASCII stay as they are."""
    return _ENCODER.encode(value)


def decode(text: str | bytes) -> Any:
    """Return the value of a JSON text; ValueError where it is none."""
    return json.loads(text)


def utf8_size(text: str) -> int:
    """Return how many bytes a text takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def check_json(value: Any, *, path: str, max_depth: int, max_bytes: int) -> list[Problem]:
    """Return all reasons why a value may not travel, empty if it may.

    Args:
        value: Anything at all.
        path: What the problems' paths begin with.
        max_depth: How many lists and objects may be nested in one another.
        max_bytes: How large its compact JSON may be, in UTF-8.
    """
    return encode_checked(value, path=path, max_depth=max_depth, max_bytes=max_bytes)[1]


def encode_checked(value: Any, *, path: str, max_depth: int, max_bytes: int) -> tuple[str, list[Problem]]:
    """Check a value as `check_json` does and return its compact JSON too, which is empty beside problems."""
    problems = check_shape(value, path=path, max_depth=max_depth, max_bytes=max_bytes)
    if problems:
        return "", problems
    text = encode(value)
    size = utf8_size(text)
    if size <= max_bytes:
        return text, []
    return "", [Problem(path, f"takes {size} bytes of JSON, more than the {max_bytes} allowed")]


def check_shape(value: Any, *, path: str, max_depth: int, max_bytes: int) -> list[Problem]:
    """Check all but the exact size: for callers that measure what they encode themselves.

    What is surely larger than ``max_bytes`` is refused, so endless or shared parts cost no more than that.
    """
    if value is None or value is True or value is False:
        return []
    walk = _Walk(path, max_depth, max_bytes)
    with contextlib.suppress(_Enough):
        walk.visit(value)
    return walk.problems


class _Enough(Exception):
    """The walk is over: too large, or too many problems."""


class _Walk:
    """One pass over a value: finds what JSON can't hold, counts depth, stops at a size it surely exceeds."""

    __slots__ = ("_budget", "_max_bytes", "_max_depth", "_root", "_trail", "problems")

    def __init__(self, root: str, max_depth: int, max_bytes: int) -> None:
        self.problems: list[Problem] = []
        self._root = root
        self._trail: list[str | int] = []
        self._max_depth = max_depth
        self._max_bytes = max_bytes
        self._budget = max_bytes

    def visit(self, value: Any) -> None:
        if isinstance(value, str):
            self._spend(len(value) + 2)
            if not is_unicode(value):
                self._refuse("holds a lone surrogate, which is not a character; decode the text it came from")
        elif isinstance(value, dict):
            self._enter_object(value)
        elif isinstance(value, list):
            self._enter_list(value)
        else:
            self._spend(1)
            if complaint := _scalar_complaint(value):
                self._refuse(complaint)

    def _enter_object(self, value: dict[Any, Any]) -> None:
        if not self._may_enter():
            return
        for key, item in value.items():
            self._check_key(key)
            self._trail.append(key if isinstance(key, str) else f"<{type(key).__name__}>")
            self.visit(item)
            self._trail.pop()

    def _enter_list(self, value: list[Any]) -> None:
        if not self._may_enter():
            return
        for index, item in enumerate(value):
            self._trail.append(index)
            self.visit(item)
            self._trail.pop()

    def _may_enter(self) -> bool:
        self._spend(2)
        if len(self._trail) < self._max_depth:
            return True
        self._refuse(f"is nested more than {self._max_depth} deep")
        return False

    def _check_key(self, key: object) -> None:
        if not isinstance(key, str):
            self._spend(1)
            self._refuse(f"has a key of type {type(key).__name__}; JSON keys are strings")
            return
        self._spend(len(key) + 3)
        if not is_unicode(key):
            self._refuse("has a key with a lone surrogate, which is not a character")

    def _spend(self, size: int) -> None:
        self._budget -= size
        if self._budget < 0:
            self.problems.append(Problem(self._root, f"is larger than the {self._max_bytes} bytes of JSON allowed"))
            raise _Enough

    def _refuse(self, message: str) -> None:
        self.problems.append(Problem(join_path(self._root, self._trail), message))
        if len(self.problems) >= MAX_PROBLEMS_A_VALUE:
            raise _Enough


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8: it holds no lone surrogate."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def join_path(root: str, trail: Sequence[str | int]) -> str:
    """Return a path such as ``steps[3].params.path``; keys that are no plain words are quoted in brackets."""
    path = root
    for part in trail:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.isascii() and part.isidentifier() and len(part) <= MAX_KEY_SHOWN:
            path += f".{part}" if path else part
        else:
            path += f"[{part[:MAX_KEY_SHOWN]!a}]"
    return path


def _scalar_complaint(value: object) -> str | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        fits = value.bit_length() <= MAX_INT_BITS
        return None if fits else f"is an integer of more than {MAX_INT_BITS} bits; send it as a string"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"is {float(value)}, which JSON can't hold"
    name = type(value).__name__
    return f"is of type {name}, which JSON can't hold{_HINTS.get(name, '')}"


_HINTS: Final = {
    "tuple": "; use a list",
    "set": "; use a list",
    "frozenset": "; use a list",
    "bytes": "; use a string, base64 for example",
    "bytearray": "; use a string, base64 for example",
    "date": "; use a string in ISO format (quote it in YAML)",
    "datetime": "; use a string in ISO format (quote it in YAML)",
}
