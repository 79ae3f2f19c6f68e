"""Reads single fields of a batch: each returns what it found, or notes a problem and returns nothing."""

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final

from config.settings import Settings
from producer.planning.step_ids import is_id
from steps.json_value import encode_checked
from steps.problem import Problem

MOST_RUNS_BEFORE: Final = 100
"""Runs that one run may wait for."""

_RUN_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")

VALUE_CHARS_SHOWN: Final = 60
"""How much of a wrong value a problem quotes."""


class FieldReader:
    """Reads fields and collects what is wrong with them.

    Args:
        settings: Whose bounds hold.
        problems: What was found wrong before.
    """

    def __init__(self, settings: Settings, problems: Collection[Problem] = ()) -> None:
        self.problems = list(problems)
        self._settings = settings
        self._good_names: set[str] = set()

    def refuse(self, path: str, message: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(path, message))

    def step_id(self, value: object, path: str) -> str:
        """Return a given id, empty if it is none."""
        if not is_id(value):
            self.refuse(path, f"must be a letter or _, then letters, digits and _, not {shown(value)}")
        elif len(value) > self._settings.max_name_chars:
            self.refuse(path, f"has {len(value)} characters, more than the {self._settings.max_name_chars} allowed")
        else:
            return value
        return ""

    def name(self, value: object, path: str) -> str:
        """Return the name of a step, empty if it is none."""
        if isinstance(value, str) and value in self._good_names:
            return value
        if complaint := self._name_complaint(value):
            self.refuse(path, complaint)
            return ""
        self._good_names.add(str(value))
        return str(value)

    def text(self, value: object, path: str) -> str | None:
        """Return a text that is not empty, None if there is none."""
        if value is None or (isinstance(value, str) and value):
            return value
        self.refuse(path, f"must be a text that is not empty, not {shown(value)}")
        return None

    def title(self, value: object, path: str) -> str | None:
        """Return a printable text of bounded length, None if there is none."""
        text = self.text(value, path)
        if text is None:
            return None
        if not text.isprintable() or len(text) > self._settings.max_name_chars:
            self.refuse(
                path, f"must be at most {self._settings.max_name_chars} printable characters, not {shown(text)}"
            )
            return None
        return text

    def run_ids(self, value: object, path: str) -> tuple[str, ...]:
        """Return the ids of runs, each once; none if they are not what they may be."""
        if value is None:
            return ()
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            self.refuse(path, f"must be a list of run ids, not {shown(value)}")
            return ()
        ids = list(islice(value, MOST_RUNS_BEFORE + 1))
        if len(ids) > MOST_RUNS_BEFORE:
            self.refuse(path, f"has more than the {MOST_RUNS_BEFORE} runs allowed")
            return ()
        for index, run_id in enumerate(ids):
            if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
                self.refuse(f"{path}[{index}]", f"must be the id of a run, not {shown(run_id)}")
        return tuple(dict.fromkeys(str(run_id) for run_id in ids))

    def flag(self, value: object, path: str) -> bool | None:
        """Return true or false, None if there is neither."""
        if value is None or isinstance(value, bool):
            return value
        self.refuse(path, f"must be true or false, not {shown(value)}")
        return None

    def seconds(self, value: object, path: str, bounds: tuple[float, float]) -> float | None:
        """Return a number of seconds within bounds, None if there is none."""
        if value is None:
            return None
        low, high = bounds
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return float(value)
        self.refuse(path, f"must be a number of seconds from {low:g} to {high:g}, not {shown(value)}")
        return None

    def count(self, value: object, path: str, bounds: tuple[int, int]) -> int | None:
        """Return a whole number within bounds, None if there is none."""
        if value is None:
            return None
        low, high = bounds
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return int(value)
        self.refuse(path, f"must be a whole number from {low} to {high}, not {shown(value)}")
        return None

    def choice(self, value: object, path: str, allowed: Collection[str]) -> Any:
        """Return one of the allowed texts, None if there is none."""
        if value is None or (isinstance(value, str) and value in allowed):
            return value
        self.refuse(path, f"must be one of {', '.join(allowed)}, not {shown(value)}")
        return None

    def json_object(self, value: object, path: str) -> tuple[dict[str, Any], str]:
        """Return a JSON object and its text; both are empty if there is none."""
        if value is not None and not isinstance(value, Mapping):
            self.refuse(path, f"must be an object (names with values), not {shown(value)}")
            return {}, ""
        if not value:
            return {}, ""
        limits = self._settings
        copy = dict(value)
        text, problems = encode_checked(copy, path=path, max_depth=limits.max_depth, max_bytes=limits.max_params_bytes)
        self.problems += problems
        return ({}, "") if problems else (copy, text)

    def known_keys(self, record: Mapping[Any, object], known: Collection[str], path: str) -> None:
        """Refuse every key that is not known, naming the one that looks like it."""
        for key in record:
            if key in known:
                continue
            nearest = get_close_matches(key, known, n=1) if isinstance(key, str) else []
            hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
            self.refuse(path, f"has an unknown key {shown(key)}; {hint}")

    def _name_complaint(self, value: object) -> str | None:
        if not isinstance(value, str):
            return f"must be the name of a step, not {shown(value)}"
        if not value:
            return "must be the name of a step, and is empty"
        if len(value) > self._settings.max_name_chars:
            return f"is a name of {len(value)} characters, more than the {self._settings.max_name_chars} allowed"
        if not value.isprintable():
            culprit = next(character for character in value if not character.isprintable())
            return f"is a name with U+{ord(culprit):04X}, a character that can't be printed"
        return None


def shown(value: object) -> str:
    """Return a short, printable form of any value for a message."""
    if value is None or isinstance(value, bool | int | float | str):
        try:
            text = ascii(value[:VALUE_CHARS_SHOWN] if isinstance(value, str) else value)
        except ValueError:
            return "an integer of too many digits"
        return text if len(text) <= VALUE_CHARS_SHOWN else f"{text[:VALUE_CHARS_SHOWN]}..."
    return f"a value of type {type(value).__name__}"
