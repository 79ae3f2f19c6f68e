"""Gives every step of a batch an id of its own, made from its name where the caller gave none."""

import re
from collections.abc import Iterable
from typing import Final, TypeGuard

_ID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NOT_OF_AN_ID: Final = re.compile(r"[^A-Za-z0-9_]")


def is_id(value: object) -> TypeGuard[str]:
    """Whether a value looks like the id of a step."""
    return isinstance(value, str) and _ID.match(value) is not None


def id_from(name: str) -> str:
    """Return a step's name as an id: what an id can't hold becomes an underscore."""
    if _ID.match(name):
        return name
    plain = _NOT_OF_AN_ID.sub("_", name)
    return plain if _ID.match(plain) else f"_{plain}"


class IdMaker:
    """Makes ids that nobody has: ``GitGetStatusStep``, then ``GitGetStatusStep_2``.

    Args:
        taken: The ids that the caller gave, anywhere in the batch.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._last: dict[str, int] = {}

    def make(self, name: str) -> str:
        """Return a new id for a step of this name."""
        base = id_from(name)
        number = self._last.get(base, 0)
        candidate = base
        while number == 0 or candidate in self._taken:
            number += 1
            candidate = base if number == 1 else f"{base}_{number}"
        self._taken.add(candidate)
        self._last[base] = number
        return candidate
