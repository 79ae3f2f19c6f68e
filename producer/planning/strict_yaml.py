"""Reads YAML strictly, as the part of it that says the same as JSON.

It is built from parser events rather than by PyYAML's composer: every problem has a path, aliases (by which a
few lines unfold into gigabytes) are seen as such, and depth is bounded before the stack is exhausted.
"""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from steps.errors import InvalidBatch
from steps.json_value import join_path
from steps.problem import Problem

_PARSER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT_TAGS: Final = ("!", "tag:yaml.org,2002:str")
_CONTAINER_TAGS: Final = (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


def read_yaml(text: str, *, source: str, max_depth: int) -> tuple[Any, list[Problem]]:
    """Return the value of a YAML text and what is wrong inside it.

    Args:
        text: The whole of it, one document.
        source: What messages call it.
        max_depth: How deep its lists and mappings may be nested.

    Raises:
        InvalidBatch: It is no YAML at all, or nested too deep.
    """
    reader = _Reader(text, max_depth)
    try:
        value = reader.document()
    except yaml.YAMLError as error:
        raise InvalidBatch([Problem(source, f"is not YAML: {_said(error)}")]) from None
    except _TooDeep as error:
        raise InvalidBatch([Problem(source, f"is nested too deep in line {error.args[0]}")]) from None
    return value, reader.problems


class _TooDeep(Exception):
    """Raised with the number of the line."""


class _Reader:
    def __init__(self, text: str, max_depth: int) -> None:
        self.problems: list[Problem] = []
        self._events: Iterator[Any] = yaml.parse(text, Loader=_PARSER)
        self._scalars: Any = yaml.SafeLoader("")
        self._trail: list[str | int] = []
        self._max_depth = max_depth

    def document(self) -> Any:
        value = None
        seen = False
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if seen:
                    self._refuse(event, "holds a second document; give one")
                    break
                seen = True
                value = self._value(next(self._events))
        return value

    def _value(self, event: Any) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, f"is the alias *{event.anchor}; write the value out")
            return None
        if len(self._trail) >= self._max_depth:
            raise _TooDeep(event.start_mark.line + 1)
        if event.tag not in _CONTAINER_TAGS:
            self._refuse(event, f"has the tag {event.tag}, which JSON can't hold")
        return self._mapping() if isinstance(event, yaml.MappingStartEvent) else self._sequence()

    def _sequence(self) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            self._trail.append(len(items))
            items.append(self._value(event))
            self._trail.pop()
        return items

    def _mapping(self) -> dict[str, Any]:
        record: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event)
            self._trail.append(key)
            if key in record:
                self._refuse(event, "is given twice")
            record[key] = self._value(next(self._events))
            self._trail.pop()
        return record

    def _key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse(event, "has a key that is not a string")
            self._value(event)
            return "?"
        key = self._scalar(event)
        if not isinstance(key, str):
            self._refuse(event, f"has the key {event.value}, read as {type(key).__name__}; quote it")
        return str(event.value)

    def _scalar(self, event: Any) -> Any:
        tag = event.tag
        if tag is None:
            tag = self._scalars.resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag in _TEXT_TAGS:
            return event.value
        try:
            return self._scalars.construct_object(yaml.ScalarNode(tag, event.value))
        except (yaml.YAMLError, ValueError, OverflowError):
            self._refuse(event, f"is {event.value[:60]!a}, which is no value of JSON; quote it if it is text")
            return event.value

    def _refuse(self, event: Any, message: str) -> None:
        line = event.start_mark.line + 1
        self.problems.append(Problem(join_path("", self._trail), f"{message} (line {line})"))


def _said(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "it can't be read"
    return f"{reason} in line {mark.line + 1}, column {mark.column + 1}" if mark else str(reason)
