"""Reads a batch from a file: YAML or JSON, with everything wrong in it noted with its path."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from config.settings import Settings
from producer.planning.batch import Batch, read_batch
from producer.planning.batch_fields import shown
from producer.planning.strict_json import read_json
from producer.planning.strict_yaml import read_yaml
from steps.errors import InvalidBatch
from steps.problem import Problem

JSON_SUFFIX: Final = ".json"
YAML_SUFFIXES: Final = (".yaml", ".yml")

DEPTH_AROUND_PARAMS: Final = 3
"""What a file adds to the nesting of params: the batch, the list of steps, and the call."""


@dataclass(frozen=True, slots=True)
class BatchDocument:
    """What a batch file says, and what is wrong with how it says it."""

    content: dict[str, Any]
    problems: tuple[Problem, ...]


def read_batch_file(path: Path, *, settings: Settings, **overrides: Any) -> Batch:
    """Return the batch of a file.

    Args:
        path: Ends in ``.json``, ``.yaml`` or ``.yml``; any other may hold either.
        settings: Whose bounds hold.
        overrides: Options that replace those of the file, unless they are None.

    Raises:
        InvalidBatch: The file can't be read, or is neither YAML nor JSON with an object in it.
    """
    document = load_document(path, settings=settings)
    content = document.content | {key: value for key, value in overrides.items() if value is not None}
    return read_batch(content, settings=settings, problems=document.problems)


def load_document(path: Path, *, settings: Settings) -> BatchDocument:
    """Return what a batch file holds.

    Raises:
        InvalidBatch: As `read_batch_file`.
    """
    return parse_document(
        _text_of(path, settings.max_run_bytes), source=str(path), suffix=path.suffix, settings=settings
    )


def parse_document(text: str, *, source: str, suffix: str, settings: Settings) -> BatchDocument:
    """Return what a text holds that is JSON or YAML.

    Args:
        text: The whole of it.
        source: What messages call it.
        suffix: ``.json``, ``.yaml`` or ``.yml`` says how it is read; any other: JSON if it can be, else YAML.
        settings: Whose bounds hold.

    Raises:
        InvalidBatch: It is neither, or holds no object.
    """
    max_depth = settings.max_depth + DEPTH_AROUND_PARAMS
    if suffix.lower() in YAML_SUFFIXES:
        content, problems = read_yaml(text, source=source, max_depth=max_depth)
    elif suffix.lower() == JSON_SUFFIX:
        content, problems = read_json(text, source=source, max_depth=max_depth)
    else:
        content, problems = _read_either(text, source, max_depth)
    if not isinstance(content, dict):
        raise InvalidBatch([Problem(source, f"must hold an object with `steps`, not {shown(content)}")])
    return BatchDocument(content, tuple(problems))


def _read_either(text: str, source: str, max_depth: int) -> tuple[Any, list[Problem]]:
    try:
        return read_json(text, source=source, max_depth=max_depth)
    except InvalidBatch:
        return read_yaml(text, source=source, max_depth=max_depth)


def _text_of(path: Path, max_bytes: int) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise InvalidBatch([Problem(str(path), f"can't be read: {error.strerror or error}")]) from None
    if len(content) > max_bytes:
        raise InvalidBatch([Problem(str(path), f"is larger than the {max_bytes} bytes allowed")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidBatch([Problem(str(path), f"is not UTF-8 at byte {error.start}")]) from None
