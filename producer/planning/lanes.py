"""Makes the key of a lane from its template: ``session:{session_id}`` and what the call was given."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from string import Formatter
from typing import Any, Final

from config.limits import MAX_LANE_CHARS
from producer.planning.batch_fields import shown

TEMPLATES_KEPT: Final = 256
"""Parsed templates kept in memory; a site has a handful."""

_MISSING: Final = object()


class LaneError(Exception):
    """A lane's key can't be made; the text says why and what to do."""


@lru_cache(maxsize=TEMPLATES_KEPT)
def parse_template(template: str) -> tuple[tuple[str, str | None], ...]:
    """Return the parts of a template: text, and the name of the field behind it or None.

    Raises:
        LaneError: Its braces don't match, or a field is more than a plain name.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise LaneError(f"the lane {shown(template)} is no template: {error}; write {{{{ for a brace") from None
    for _, name, spec, conversion in parts:
        if name is not None and (spec or conversion or not name.isidentifier()):
            raise LaneError(f"the lane {shown(template)} may name its fields only, as in session:{{session_id}}")
    return tuple((text, name) for text, name, _, _ in parts)


def lane_key(
    template: str,
    params: Mapping[str, Any],
    context: Mapping[str, Any],
    default_of: Callable[[str], Any],
) -> str:
    """Return the key of a lane.

    A field takes its value as the step's parameter of that name does: params, else context, else default.

    Args:
        template: Text with plain ``{name}`` fields.
        params: Of the call.
        context: Of the batch.
        default_of: Returns a parameter's default, None if it has none.

    Raises:
        LaneError: A field has no value, or none that is a text or whole number, or the key is too long, empty
            or not printable.
    """
    pieces = []
    for text, name in parse_template(template):
        pieces.append(text)
        if name is not None:
            pieces.append(_field(template, name, params.get(name, context.get(name, _MISSING)), default_of))
    return _checked("".join(pieces), template)


def _field(template: str, name: str, value: object, default_of: Callable[[str], Any]) -> str:
    if value is _MISSING:
        value = default_of(name)
    if value is None:
        raise LaneError(f"the lane {shown(template)} needs {name}: give it in params or in the context")
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise LaneError(f"the lane {shown(template)} needs a text or whole number as {name}, not {shown(value)}")
    return str(value)


def _checked(key: str, template: str) -> str:
    if not key:
        raise LaneError(f"the lane {shown(template)} is empty")
    if len(key) > MAX_LANE_CHARS:
        raise LaneError(f"the lane {shown(template)} has {len(key)} characters, more than {MAX_LANE_CHARS}")
    if not key.isprintable():
        raise LaneError(f"the lane {shown(key)} holds a character that can't be printed")
    return key
