"""How a wrong setting is told: the variable or key, what it was, and what is allowed."""

import difflib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from types import NoneType
from typing import Final, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from config.errors import SettingsError

SHOWN_CHARS: Final = 80
"""How much of a wrong value is shown."""

_UNITS: Final = {"_s": " of seconds", "_bytes": " of bytes", "_kib": " of KiB", "_chars": " of characters"}

_CREDENTIALS: Final = re.compile(r"://\S*@")


class Contradictions(ValueError):
    """Values that are allowed one by one, but not together.

    Attributes:
        found: Pairs of the field to change and a sentence.
    """

    def __init__(self, found: Iterable[tuple[str, str]]) -> None:
        self.found = tuple(found)
        super().__init__("; ".join(f"{name}: {sentence}" for name, sentence in self.found))


def nearest(name: str, known: Iterable[str], *, shown: Callable[[str], str] = str) -> str:
    """Return ``" (nearest: ...)"`` for a mistyped name, worded by ``shown``; nothing if none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (nearest: {shown(near[0])})" if near else ""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> SettingsError:
    """Return the error for a name that is none of ``known``."""
    known = list(known)
    return SettingsError(f"there is no {kind} {name!r}{nearest(name, known)}; there are {', '.join(known)}")


def wrong_value(where: str, value: object, allowed_text: str, detail: str = "") -> str:
    """Return the sentence for one wrong value; credentials in URLs are masked."""
    shown = _CREDENTIALS.sub("://***@", repr(value))
    if len(shown) > SHOWN_CHARS:
        shown = shown[:SHOWN_CHARS] + "..."
    more = f" ({detail})" if detail else ""
    return f"{where}: {shown} is not allowed; allowed is {allowed_text}{more}"


def wrong_values(error: ValidationError, fields: Mapping[str, FieldInfo], names: Mapping[str, str]) -> list[str]:
    """Return a sentence for each field that pydantic refused.

    Args:
        error: What pydantic raised.
        fields: The fields of the model.
        names: By field, the variable or key it is known by to the user.
    """
    details: dict[str, list[str]] = defaultdict(list)
    values: dict[str, object] = {}
    told = []
    for wrong in error.errors(include_url=False):
        raised = wrong.get("ctx", {}).get("error")
        if isinstance(raised, Contradictions):
            told += [f"{names[name]}: {sentence}" for name, sentence in raised.found]
            continue
        name, *inner = map(str, wrong["loc"])
        values.setdefault(name, wrong["input"])
        if raised is not None or inner:  # else what is allowed says it all
            details[name].append(": ".join(filter(None, [".".join(inner), str(raised or wrong["msg"])])))
    for name, value in values.items():
        text = allowed(name, fields[name])
        told.append(wrong_value(names[name], value, text, "; ".join(details[name])))
    return told


def allowed(name: str, field_info: FieldInfo) -> str:
    """Return what a field may hold, in words."""
    if field_info.description:
        return field_info.description
    annotation = field_info.annotation
    if annotation is bool:
        return "true or false"
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(get_args(annotation))
    whole = "a whole number" if int in (annotation, *get_args(annotation)) else "a number"
    unit = next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), "")
    low = next(bound.ge for bound in field_info.metadata if isinstance(bound, Ge))
    high = next(bound.le for bound in field_info.metadata if isinstance(bound, Le))
    or_nothing = ", or nothing" if NoneType in get_args(annotation) else ""
    return f"{whole}{unit} from {low} to {high}{or_nothing}"
