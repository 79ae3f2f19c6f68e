"""What a step takes and returns: read from its callable's signature, compiled for pydantic on first use."""

import inspect
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final, NotRequired, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from steps.errors import InvalidStep
from steps.json_value import check_json, join_path
from steps.problem import Problem
from steps.result_type import json_typed

CONTEXT_PARAMETER: Final = "ctx"
"""A parameter of this name receives the StepContext; it is never filled from params."""

SHOWN_PROBLEMS: Final = 20
"""Problems named for one value; a list of a thousand wrong items needs no thousand sentences."""

_SHOWN_DEFAULT: Final = {"max_depth": 4, "max_bytes": 1024}
"""What a default may be to stand in the published schema."""

_EMPTY: Final = inspect.Parameter.empty
_POSITIONAL_KINDS: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
_ANY_FURTHER: Final = inspect.Parameter.VAR_KEYWORD
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


class StepSignature:
    """The parameters and the result of one step.

    Types are resolved at once if they can be, else (a name defined further down its module) on first use.

    Args:
        function: The function, or the ``execute`` of a class without its ``self``.
        signature: Its signature, without ``self``.
        name: Of the step, for messages.
        scope: Names visible where the step was defined, for annotations that are still text.

    Raises:
        InvalidStep: The signature has parameters that can't be given by name.
    """

    __slots__ = (
        "_arguments",
        "_hints",
        "_name",
        "_result",
        "_schema",
        "function",
        "names",
        "parameters",
        "takes_context",
    )

    def __init__(
        self,
        function: Callable[..., object],
        signature: inspect.Signature,
        *,
        name: str,
        scope: Mapping[str, object] | None = None,
    ) -> None:
        self.function = function
        self._name = name
        self.takes_context = CONTEXT_PARAMETER in signature.parameters
        self.parameters = [one for one in signature.parameters.values() if one.name != CONTEXT_PARAMETER]
        self.names = frozenset(one.name for one in self.parameters if one.kind is not _ANY_FURTHER)
        self._arguments: TypeAdapter[dict[str, Any]] | None = None
        self._result: TypeAdapter[Any] | None = None
        self._schema: dict[str, Any] | None = None
        self._refuse_positional(signature)
        self._hints = self._resolved(scope)

    def bind(self, params: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any] | list[Problem]:
        """Return the validated arguments, or all that is wrong with what was given.

        An argument is what ``params`` says, else the context key of that name, else the signature's default.
        Every call returns lists and objects of its own: what an attempt does to them, no other attempt sees.
        """
        if self.takes_context and CONTEXT_PARAMETER in params:
            return [Problem(f"params.{CONTEXT_PARAMETER}", "is filled by Stepline and can't be given")]
        try:
            given = {name: _own(context[name]) for name in self.names.intersection(context)}
            given.update((name, _own(value)) for name, value in params.items())
            return self._compiled_arguments().validator.validate_python(given)  # type: ignore[no-any-return]
        except ValidationError as error:
            return self._problems(error, params)
        except Exception as error:  # noqa: BLE001  # the step's own types may raise anything
            return [Problem("params", f"could not be checked: {type(error).__name__}: {error}")]

    def dump(self, value: Any) -> tuple[Any, list[Problem]]:
        """Return a result as its annotation writes it in JSON, or else why it can't be written."""
        try:
            adapter = self._compiled_result()
            fitting = adapter.validator.validate_python(value)
            return adapter.serializer.to_python(fitting, mode="json", warnings="error"), []
        except ValidationError as error:
            return None, [Problem(_path("value", one["loc"]), _said(one)) for one in _some_errors(error)]
        except Exception as error:  # noqa: BLE001  # the step's own types may raise anything
            return None, [Problem("value", f"can't be written as JSON: {type(error).__name__}: {error}")]

    def compile(self) -> None:
        """Compile now rather than on first use.

        Raises:
            InvalidStep: An annotation is unknown, or of a type that can't be made from JSON.
        """
        self._compiled_arguments()
        self._compiled_result()

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the parameters; empty where a type has none."""
        if self._schema is None:
            try:
                self._schema = self._with_defaults(self._compiled_arguments().json_schema())
            except PydanticUserError:
                self._schema = {}
        return self._schema

    def _with_defaults(self, schema: dict[str, Any]) -> dict[str, Any]:
        for one in self.parameters:
            if one.default is not _EMPTY and not check_json(one.default, path="", **_SHOWN_DEFAULT):
                schema["properties"][one.name]["default"] = one.default
        return schema

    def _where(self) -> str:
        return f"step {self._name!r} ({self.function.__module__}.{self.function.__qualname__})"

    def _refuse_positional(self, signature: inspect.Signature) -> None:
        for one in signature.parameters.values():
            if one.kind in _POSITIONAL_KINDS:
                raise InvalidStep(
                    f"{self._where()} takes {one.name!r} by position only, but params are given by name: "
                    f"make it an ordinary parameter"
                )

    def _resolved(self, scope: Mapping[str, object] | None) -> dict[str, Any] | None:
        try:
            return _hints_of(self.function, scope)
        except Exception:  # noqa: BLE001  # a name not known yet: tried again, and reported, on first use
            return None

    def _known_hints(self) -> dict[str, Any]:
        if self._hints is None:
            try:
                self._hints = _hints_of(self.function, None)
            except Exception as error:
                raise InvalidStep(f"{self._where()} has an annotation that can't be resolved: {error}") from error
        return self._hints

    def _compiled_arguments(self) -> TypeAdapter[dict[str, Any]]:
        if self._arguments is None:
            self._arguments = self._adapter(self._fields_type(self._known_hints()), "parameters")
        return self._arguments

    def _compiled_result(self) -> TypeAdapter[Any]:
        if self._result is None:
            annotation = self._known_hints().get("return", Any)
            self._result = self._adapter(json_typed(annotation), "a return annotation")
        return self._result

    def _adapter(self, annotation: Any, part: str) -> TypeAdapter[Any]:
        try:
            return TypeAdapter(annotation)
        except Exception as error:
            raise InvalidStep(f"{self._where()} has {part} that pydantic can't take: {error}") from error

    def _fields_type(self, hints: Mapping[str, Any]) -> Any:
        """Return the parameters as a TypedDict: a key left out keeps the default of the signature."""
        fields: dict[str, Any] = {}
        config = ConfigDict(extra="forbid")
        further: dict[str, Any] = {}
        for one in self.parameters:
            annotation = hints.get(one.name, Any)
            if one.kind is _ANY_FURTHER:
                config = ConfigDict(extra="allow")
                further = {"extra_items": annotation}
            else:
                fields[one.name] = annotation if one.default is _EMPTY else NotRequired[annotation]
        make: Callable[..., Any] = TypedDict  # type: ignore[assignment]
        made = make("Params", fields, **further)
        made.__pydantic_config__ = config
        return made

    def _problems(self, error: ValidationError, params: Mapping[str, Any]) -> list[Problem]:
        problems = []
        for one in _some_errors(error):
            name = str(one["loc"][0]) if one["loc"] else ""
            is_bound = name in self.names and name not in params and one["type"] != "missing"
            path = _path("context" if is_bound else "params", one["loc"])
            problems.append(Problem(path, self._said_of(name, one)))
        return problems

    def _said_of(self, name: str, one: Mapping[str, Any]) -> str:
        if one["type"] == "missing" and len(one["loc"]) == 1:
            return "is missing: give it in params, or as a context key of that name"
        if one["type"] == "extra_forbidden" and len(one["loc"]) == 1:
            takes = ", ".join(sorted(self.names)) or "none"
            return f"is no parameter of step {self._name!r}; it takes: {takes}"
        return _said(one)


def _hints_of(function: Callable[..., object], scope: Mapping[str, object] | None) -> dict[str, Any]:
    """Resolve the annotations, except that of the context: it is often imported for type checkers only."""
    written = {name: one for name, one in function.__annotations__.items() if name != CONTEXT_PARAMETER}
    names = getattr(inspect.unwrap(function), "__globals__", {})
    holder: Any = SimpleNamespace(__annotations__=written)
    return get_type_hints(holder, globalns=names, localns=dict(scope) if scope else None, include_extras=True)


def _own(value: Any) -> Any:
    if type(value) in _SCALARS:
        return value
    if isinstance(value, dict):
        return {key: _own(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_own(item) for item in value]
    return value


def _some_errors(error: ValidationError) -> list[Any]:
    return error.errors(include_url=False, include_context=False)[:SHOWN_PROBLEMS]


def _path(root: str, loc: tuple[int | str, ...]) -> str:
    return join_path(root, list(loc))


def _said(one: Mapping[str, Any]) -> str:
    return f"{one['msg']} (given: {type(one['input']).__name__})"
