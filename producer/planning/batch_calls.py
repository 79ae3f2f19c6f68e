"""Reads the step calls of a batch, and gives each its id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from config.limits import RETRIES_RANGE, TIMEOUT_RANGE_S
from producer.planning.batch_fields import FieldReader, shown
from producer.planning.step_ids import IdMaker, is_id

CALL_KEYS: Final = ("name", "id", "params", "timeout", "retries", "critical", "lane")

StepSpec = str | Mapping[str, Any]
"""How a caller asks for a step: its name, or an object with some of `CALL_KEYS`, the name among them."""


@dataclass(frozen=True, slots=True)
class BatchCall:
    """One step as the caller asked for it; None is what the caller left open.

    Args:
        path: Where it stands in the batch, such as ``steps[3]``.
        name: Of the step; empty where it was refused.
        id: Given, or made from the name.
        is_object: Whether it was given as an object rather than as a bare name.
        params: Its arguments.
        params_json: The same as JSON; empty for none.
        timeout_s: For one attempt, in seconds.
        retries: After the first attempt.
        critical: Whether it changes things.
        lane: Template of its lane's key.
    """

    path: str
    name: str
    id: str
    is_object: bool = False
    params: dict[str, Any] = field(default_factory=dict)
    params_json: str = ""
    timeout_s: float | None = None
    retries: int | None = None
    critical: bool | None = None
    lane: str | None = None

    @property
    def name_path(self) -> str:
        """Where its name stands."""
        return f"{self.path}.name" if self.is_object else self.path


def read_calls(reader: FieldReader, specs: Sequence[object], paths: Sequence[str]) -> tuple[BatchCall, ...]:
    """Read calls, each with its path; what is wrong with them is noted with the reader."""
    given = [spec.get("id") for spec in specs if isinstance(spec, Mapping)]
    maker = IdMaker(value for value in given if is_id(value))
    owners: dict[str, str] = {}
    calls = []
    for spec, path in zip(specs, paths, strict=True):
        if isinstance(spec, Mapping):
            calls.append(_read_object(reader, spec, path, maker, owners))
        else:
            name = reader.name(spec, path)
            calls.append(BatchCall(path, name, maker.make(name)))
    return tuple(calls)


def _read_object(
    reader: FieldReader, spec: Mapping[Any, object], path: str, maker: IdMaker, owners: dict[str, str]
) -> BatchCall:
    reader.known_keys(spec, CALL_KEYS, path)
    name = reader.name(spec.get("name"), f"{path}.name")
    params, params_json = reader.json_object(spec.get("params"), f"{path}.params")
    return BatchCall(
        path=path,
        name=name,
        id=_read_id(reader, spec.get("id"), path, owners) or maker.make(name),
        is_object=True,
        params=params,
        params_json=params_json,
        timeout_s=reader.seconds(spec.get("timeout"), f"{path}.timeout", TIMEOUT_RANGE_S),
        retries=reader.count(spec.get("retries"), f"{path}.retries", RETRIES_RANGE),
        critical=reader.flag(spec.get("critical"), f"{path}.critical"),
        lane=reader.text(spec.get("lane"), f"{path}.lane"),
    )


def _read_id(reader: FieldReader, value: object, path: str, owners: dict[str, str]) -> str:
    step_id = "" if value is None else reader.step_id(value, f"{path}.id")
    owner = owners.setdefault(step_id, path) if step_id else path
    if owner != path:
        reader.refuse(f"{path}.id", f"is {shown(step_id)}, which is the id of {owner} already")
    return step_id
