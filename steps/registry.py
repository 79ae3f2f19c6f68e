"""The steps of this process, by name: filled by ``@step``, viewed through `StepRegistry`."""

import difflib
import importlib
import importlib.metadata
import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from config.errors import SettingsError
from steps.definition import StepDefinition
from steps.errors import DuplicateStep, UnknownStep

ENTRY_POINT_GROUP: Final = "stepline.steps"
"""Installed packages name their modules of steps in this group of entry points."""

NEAREST_NAMES: Final = 3
"""How many similar names an unknown one is answered with."""

_definitions: Final[dict[str, StepDefinition]] = {}


def register(definition: StepDefinition) -> None:
    """Add a step to this process; the same code imported once more replaces itself.

    Raises:
        DuplicateStep: Another step has the name already.
    """
    known = _definitions.setdefault(definition.name, definition)
    if known is definition:
        return
    if _code_of(known) != _code_of(definition) and not _is_typed_in(definition):
        raise DuplicateStep(definition.name, known.place, definition.place)
    _definitions[definition.name] = definition


def _code_of(definition: StepDefinition) -> tuple[str, int, str]:
    """Tell code apart by where it is written: a module reloaded, or run as ``__main__`` too, is the same."""
    code = inspect.unwrap(definition.signature.function).__code__
    return code.co_filename, code.co_firstlineno, definition.target.__qualname__


def _is_typed_in(definition: StepDefinition) -> bool:
    """Whether it comes from a prompt or a notebook, where defining a name again is how one works."""
    return definition.module == "__main__" and not hasattr(sys.modules["__main__"], "__file__")


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """Return which of the known names are most like this one, best first."""
    return difflib.get_close_matches(name, sorted(known), n=NEAREST_NAMES)


class StepRegistry:
    """The steps of this process; every instance shows the same ones."""

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(_definitions)

    def find(self, name: str) -> StepDefinition | None:
        """Return the step of that name, or None."""
        return _definitions.get(name)

    def get(self, name: str) -> StepDefinition:
        """Return the step of that name.

        Raises:
            UnknownStep: There is none; its ``nearest`` holds similar names.
        """
        if (definition := _definitions.get(name)) is None:
            raise UnknownStep(name, self.nearest(name))
        return definition

    def nearest(self, name: str) -> list[str]:
        """Return the names most like this one, best first."""
        return nearest_names(name, self.names())

    @contextmanager
    def isolated(self) -> Iterator["StepRegistry"]:
        """Forget, at the end of the block, the steps defined in it: for tests that define their own."""
        before = dict(_definitions)
        try:
            yield self
        finally:
            _definitions.clear()
            _definitions.update(before)

    def __contains__(self, name: object) -> bool:
        """Whether a step has that name."""
        return name in _definitions

    def __iter__(self) -> Iterator[StepDefinition]:
        """Iterate over the steps by name."""
        return iter([_definitions[name] for name in self.names()])

    def __len__(self) -> int:
        """Return how many steps there are."""
        return len(_definitions)


def load_step_modules(modules: Sequence[str]) -> StepRegistry:
    """Import the modules that define steps, and those of installed packages, and compile every step.

    Args:
        modules: Dotted names, as the setting ``step_modules`` has them.

    Raises:
        SettingsError: Modules can't be imported; every one of them is named with the reason.
        InvalidStep: A step has types that pydantic can't take.
    """
    problems = [problem for module in modules if (problem := _import_problem(module))]
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        try:
            entry.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # foreign code runs at import
            problems.append(f"entry point {entry.name!r} ({ENTRY_POINT_GROUP}) can't be loaded: {_told(error)}")
    if problems:
        raise SettingsError(*problems)
    registry = StepRegistry()
    for definition in registry:
        definition.signature.compile()
    return registry


def _import_problem(module: str) -> str | None:
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # foreign code runs at import
        return f"step module {module!r} (STEPLINE_STEP_MODULES) can't be imported: {_told(error)}"
    return None


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
