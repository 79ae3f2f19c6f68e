"""The classification rules as data: ``rules.toml`` beside this file, or a site's own file over it."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from config.errors import SettingsError
from config.patterns import compile_pattern
from config.setting_errors import nearest

BUILT_IN_RULES: Final = Path(__file__).with_name("rules.toml")

_HUMP: Final = re.compile(r"(?<=[a-z0-9])[A-Z]|(?<=[A-Z])[A-Z](?=[a-z])")
_GAP: Final = re.compile(r"(?<=[A-Za-z0-9])_+([a-z0-9])")

_PATTERNS: Final = "a list of RE2 patterns"
_NAMES: Final = "a list of step names"


def _checked_pattern(text: str) -> str:
    if not text:
        raise ValueError("an empty pattern would match every name")
    compile_pattern(text, ignore_case=True)
    return text


_Name = Annotated[str, Field(min_length=1)]
_Pattern = Annotated[str, AfterValidator(_checked_pattern)]


class Rules(BaseModel):
    """The rules, checked and frozen.

    Attributes:
        critical_patterns: RE2, searched for anywhere in a name, in any case.
        non_critical_patterns: The same for steps that only read.
        critical_names: Whole names.
        non_critical_names: Whole names; one that stands in both lists is critical.
        context_keys: Keys whose true value in the context makes a batch critical.
        context_values: By key, the values that do so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    critical_patterns: tuple[_Pattern, ...] = Field((), description=_PATTERNS)
    non_critical_patterns: tuple[_Pattern, ...] = Field((), description=_PATTERNS)
    critical_names: frozenset[_Name] = Field(frozenset(), description=_NAMES)
    non_critical_names: frozenset[_Name] = Field(frozenset(), description=_NAMES)
    context_keys: tuple[_Name, ...] = Field((), description="a list of context keys")
    context_values: Mapping[_Name, tuple[_Name, ...]] = Field({}, description="a table of lists of texts")


def spellings(key: str) -> tuple[str, ...]:
    """Return a context key as it stands, then in camelCase and snake_case where those differ."""
    snake = _HUMP.sub(lambda hump: "_" + hump[0], key).lower()
    camel = _GAP.sub(lambda gap: gap[1].upper(), key)
    return tuple(dict.fromkeys((key, camel, snake)))


def load_rules(path: Path | None = None) -> Rules:
    """Return the rules of Stepline, or those of ``path`` over them: a list that it has replaces ours.

    Raises:
        SettingsError: With all that is wrong in the file at once, each with its key.
    """
    built_in = _read(BUILT_IN_RULES)
    if path is None:
        return _check(built_in, BUILT_IN_RULES)
    return _check({**built_in, **_read(path)}, path)


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"rules file {path}: can't be read: {error.strerror}; correct rules_file (STEPLINE_RULES_FILE)"
        ) from error
    except ValueError as error:
        raise SettingsError(f"rules file {path}: is no TOML in UTF-8: {error}") from error


def _check(values: Mapping[str, object], path: Path) -> Rules:
    try:
        return Rules.model_validate(values)
    except ValidationError as error:
        found = [_sentence(wrong["loc"], wrong["msg"]) for wrong in error.errors()]
        raise SettingsError(*(f"rules file {path}: {sentence}" for sentence in found)) from None


def _sentence(place: tuple[int | str, ...], message: str) -> str:
    key, *inner = place
    rules = Rules.model_fields
    if key not in rules:
        return f"{key} is no rule{nearest(str(key), rules)}; allowed is one of {', '.join(rules)}"
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in inner)
    return f"{key}{where}: {message.removeprefix('Value error, ')}; allowed is {rules[str(key)].description}"
