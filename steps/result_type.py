"""Reads return annotations: what they leave open must be JSON already, and is not converted in silence."""

import functools
import operator
import types
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import JsonValue

_OPEN: Final = (Any, object)
_BARE: Final[dict[Any, Any]] = {dict: dict[str, JsonValue], list: list[JsonValue]}
_MAPPINGS: Final = (dict, Mapping, MutableMapping)
_COLLECTIONS: Final = (list, tuple, set, frozenset, Sequence, MutableSequence)


def json_typed(annotation: Any) -> Any:
    """Return the annotation with each ``Any``, bare ``dict`` and bare ``list`` narrowed to JSON values.

    A declared ``set[int]`` or ``datetime`` is written as JSON by its type; a set inside a ``dict`` was never
    declared, and is refused rather than turned into a list.
    """
    if annotation in _OPEN:
        return JsonValue
    origin, arguments = get_origin(annotation), get_args(annotation)
    if not arguments:
        return _BARE.get(origin or annotation, annotation)
    if origin is Annotated:
        return Annotated[(json_typed(arguments[0]), *arguments[1:])]
    if origin in (Union, types.UnionType):
        return functools.reduce(operator.or_, [json_typed(one) for one in arguments])
    if origin in _MAPPINGS:
        key, value = arguments
        return origin[str if key in _OPEN else key, json_typed(value)]
    if origin in _COLLECTIONS:
        return origin[tuple(one if one is ... else json_typed(one) for one in arguments)]
    return annotation
