"""What a plan knows of the steps it names: their code if this process has it, else what workers publish."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from steps.definition import StepDefinition, StepFacts
from steps.errors import UnknownStep
from steps.problem import Problem

NEAREST_LOOKED_UP: Final = 20
"""For how many unknown names similar ones are looked up: comparing names is slow."""


class KnownStep:
    """One step, by its code or by its facts.

    Args:
        traits: Either of the two; the code is preferred.
    """

    __slots__ = ("_schema", "traits")

    def __init__(self, traits: StepDefinition | StepFacts) -> None:
        self.traits = traits
        self._schema: dict[str, Any] = traits.schema or {} if isinstance(traits, StepFacts) else {}

    def check(self, params: Mapping[str, Any], context: Mapping[str, Any]) -> list[Problem]:
        """Return why params don't fit, with paths such as ``params.path``.

        Without the code only the names are looked at; the worker checks the types.
        """
        if isinstance(self.traits, StepDefinition):
            return self.traits.check(params, context)
        return [*self._missing(params, context), *self._unknown(params)]

    def default_of(self, name: str) -> Any:
        """Return the default of a parameter, None if it has none or it is not known."""
        if isinstance(self.traits, StepDefinition):
            parameters = self.traits.signature.parameters
            return next((one.default for one in parameters if one.name == name and one.default is not one.empty), None)
        return self._schema.get("properties", {}).get(name, {}).get("default")

    def _missing(self, params: Mapping[str, Any], context: Mapping[str, Any]) -> list[Problem]:
        lacking = [name for name in self._schema.get("required", ()) if name not in params and name not in context]
        message = "is missing: give it in params, or as a context key of that name"
        return [Problem(f"params.{name}", message) for name in lacking]

    def _unknown(self, params: Mapping[str, Any]) -> list[Problem]:
        if self._schema.get("additionalProperties") is not False:
            return []
        takes = self._schema.get("properties", {})
        message = f"is no parameter of step {self.traits.name!r}; it takes: {', '.join(sorted(takes)) or 'none'}"
        return [Problem(f"params.{name}", message) for name in params if name not in takes]


@dataclass(slots=True, kw_only=True)
class Catalogue:
    """Finds steps by name, each only once.

    Args:
        find_definition: Returns the code of a step, None where this process lacks it.
        find_facts: Returns what workers published of a step, None where none did.
        nearest: Returns the known names most like one, best first.
    """

    find_definition: Callable[[str], StepDefinition | None]
    find_facts: Callable[[str], StepFacts | None]
    nearest: Callable[[str], Sequence[str]]
    _found: dict[str, KnownStep | None] = field(default_factory=dict)
    _unknown: dict[str, UnknownStep] = field(default_factory=dict)

    def find(self, name: str) -> KnownStep | None:
        """Return the step of a name, None if nobody knows it."""
        if name not in self._found:
            traits = self.find_definition(name) or self.find_facts(name)
            self._found[name] = None if traits is None else KnownStep(traits)
        return self._found[name]

    def declared(self, name: str) -> StepDefinition | StepFacts | None:
        """Return what is known of a step, None if nobody knows it."""
        known = self.find(name)
        return None if known is None else known.traits

    def unknown(self, name: str) -> UnknownStep:
        """Return the error that says this name is not known."""
        if name not in self._unknown:
            nearest = self.nearest(name) if len(self._unknown) < NEAREST_LOOKED_UP else ()
            self._unknown[name] = UnknownStep(name, nearest)
        return self._unknown[name]
