"""Where settings come from: the environment, the settings file, the defaults; values as given, unchecked."""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from config.setting_errors import allowed, nearest, wrong_value

Source = Literal["environment", "stepline.toml", "default"]
Fields = Mapping[str, FieldInfo]

PREFIX: Final = "STEPLINE_"
"""What every variable of ours starts with; nothing else may start with it."""

CONFIG_VARIABLE: Final = "STEPLINE_CONFIG"
"""Names the settings file; the one variable that is no setting."""

_IS_UNKNOWN: Final = "is no setting of Stepline"

TOML_NAME: Final = "stepline.toml"
"""The settings file that is looked for in the working folder."""


@dataclass(slots=True)
class Layer:
    """What one source gives: raw values by field, the name under which each was given, and what was wrong."""

    source: Source
    values: dict[str, object] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def variable(name: str) -> str:
    """Return the variable of a field: ``parcel_size`` is read from ``STEPLINE_PARCEL_SIZE``."""
    return PREFIX + name.upper()


def state_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return ``$XDG_STATE_HOME/stepline``, else ``~/.local/state/stepline``, as its specification says."""
    environ = os.environ if environ is None else environ
    state_home = environ.get("XDG_STATE_HOME", "")
    if Path(state_home).is_absolute():
        return Path(state_home) / "stepline"
    home = environ.get("HOME")
    return (Path(home) if home else Path.home()) / ".local" / "state" / "stepline"


def read_environment(fields: Fields, environ: Mapping[str, str]) -> Layer:
    """Return the values of our variables."""
    layer = Layer("environment")
    names = {variable(name): name for name in fields}
    for key in sorted(key for key in environ if key.startswith(PREFIX) and key != CONFIG_VARIABLE):
        name = names.get(key)
        if name is None:
            near = nearest(key.removeprefix(PREFIX).lower(), [*fields, "config"], shown=variable)
            layer.problems.append(f"{key} {_IS_UNKNOWN}{near}; correct or remove it")
            continue
        layer.names[name] = key
        try:
            layer.values[name] = _from_text(environ[key].strip(), fields[name])
        except ValueError as error:
            reason = f"not JSON: {error}"
            layer.problems.append(wrong_value(key, environ[key], allowed(name, fields[name]), reason))
    return layer


def read_toml(fields: Fields, environ: Mapping[str, str], toml_path: Path | None) -> Layer:
    """Return the values of the settings file, if there is one."""
    layer = Layer("stepline.toml")
    named = toml_path or environ.get(CONFIG_VARIABLE)
    path = Path(named or TOML_NAME).expanduser()
    if named is None and not path.is_file():
        return layer
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        layer.problems.append(f"settings file {path}: {_reason(error)}")
        return layer
    for key, value in given.items():
        where = f"{key} in {path}"
        if key not in fields:
            layer.problems.append(f"{where} {_IS_UNKNOWN}{nearest(key, fields)}; correct or remove it")
        elif isinstance(value, bool) and fields[key].annotation is not bool:
            # Python would take true for the number 1.
            layer.problems.append(wrong_value(where, value, allowed(key, fields[key])))
        else:
            layer.names[key] = where
            layer.values[key] = value
    return layer


def _from_text(text: str, field_info: FieldInfo) -> object:
    """Return what pydantic can check: variables hold lists as text, and nothing as the empty text."""
    annotation = field_info.annotation
    if not text and NoneType in get_args(annotation):
        return None
    if get_origin(annotation) is not tuple:
        return text
    if get_args(annotation)[0] is str:
        return [part.strip() for part in text.split(",") if part.strip()]
    return json.loads(text)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"can't be read: {error.strerror}; correct the path or remove {CONFIG_VARIABLE}"
    return f"is no TOML in UTF-8: {error}"
