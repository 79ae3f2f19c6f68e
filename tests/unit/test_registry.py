"""The steps of a process: finding them, telling duplicates apart, loading their modules."""

import importlib
import importlib.metadata
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from config.errors import SettingsError
from steps import registry as registry_module
from steps.decorator import step
from steps.errors import DuplicateStep, InvalidStep, UnknownStep
from steps.registry import StepRegistry, load_step_modules

MakeModule = Callable[[str, str], str]


@pytest.fixture(autouse=True)
def own() -> Iterator[StepRegistry]:
    with StepRegistry().isolated() as registry:
        registry_module._definitions.clear()
        yield registry


@pytest.fixture
def make_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeModule]:
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []

    def make(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        importlib.invalidate_caches()
        made.append(name)
        return name

    yield make
    for name in made:
        sys.modules.pop(name, None)


def define_two() -> None:
    @step
    def GetStatusStep() -> None: ...

    @step
    def GetBranchStep() -> None: ...


def test_every_registry_shows_the_same_steps(own: StepRegistry) -> None:
    define_two()
    other = StepRegistry()
    assert other.names() == ["GetBranchStep", "GetStatusStep"]
    assert [one.name for one in other] == other.names()
    assert len(own) == 2
    assert "GetStatusStep" in own
    assert "Other" not in own
    assert own.find("Other") is None
    assert own.get("GetStatusStep") is other.find("GetStatusStep")


def test_an_unknown_name_is_answered_with_the_nearest_ones(own: StepRegistry) -> None:
    define_two()
    with pytest.raises(UnknownStep, match="did you mean GetStatusStep") as caught:
        own.get("GetStatesStep")
    assert caught.value.nearest[0] == "GetStatusStep"


def test_steps_defined_in_isolation_are_forgotten(own: StepRegistry) -> None:
    define_two()
    with own.isolated():

        @step
        def Passing() -> None: ...

        assert len(own) == 3
    assert own.names() == ["GetBranchStep", "GetStatusStep"]


def test_two_steps_of_one_name_are_refused_with_both_places() -> None:
    @step(name="Same")
    def first() -> None: ...

    with pytest.raises(DuplicateStep) as caught:

        @step(name="Same")
        def second() -> None: ...

    assert "first" in caught.value.first
    assert "second" in caught.value.second


def test_a_function_written_twice_under_one_name_is_refused() -> None:
    @step
    def Same() -> None: ...

    with pytest.raises(DuplicateStep):

        @step
        def Same() -> None: ...


def test_a_class_and_a_function_of_one_name_are_refused() -> None:
    @step(name="Same")
    class First:
        def execute(self) -> None: ...

    with pytest.raises(DuplicateStep):

        @step(name="Same")
        def second() -> None: ...


def test_the_same_code_run_again_replaces_itself(own: StepRegistry) -> None:
    define_two()
    before = own.get("GetStatusStep")
    define_two()
    assert own.get("GetStatusStep") is not before
    assert len(own) == 2


def test_a_reloaded_module_replaces_its_steps(own: StepRegistry, make_module: MakeModule) -> None:
    name = make_module("reloaded_steps", "from steps import step\n@step\ndef Again(): ...\n")
    module = importlib.import_module(name)
    importlib.reload(module)
    assert own.get("Again").target is module.Again


def test_a_name_typed_in_again_at_a_prompt_replaces_the_former(
    own: StepRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    for number in (1, 2):
        source = f"@step\ndef Typed(): return {number}\n"
        exec(compile(source, f"<input {number}>", "exec"), {"step": step, "__name__": "__main__"})
    assert own.get("Typed").target() == 2


def test_modules_of_steps_are_imported_and_their_steps_compiled(make_module: MakeModule) -> None:
    name = make_module(
        "good_steps", "from steps import step\n@step(critical=False)\ndef Good(path: str) -> str: return path\n"
    )
    assert load_step_modules([name]).get("Good").critical is False


def test_all_modules_that_can_not_be_imported_are_named_at_once(make_module: MakeModule) -> None:
    broken = make_module("broken_steps", "1 / 0\n")
    with pytest.raises(SettingsError) as caught:
        load_step_modules(["no_such_module", broken])
    first, second = caught.value.problems
    assert "'no_such_module' (STEPLINE_STEP_MODULES)" in first
    assert "broken_steps" in second
    assert "ZeroDivisionError" in second


def test_a_module_that_ends_the_program_is_named(make_module: MakeModule) -> None:
    leaving = make_module("leaving_steps", "import sys\nsys.exit(0)\n")
    with pytest.raises(SettingsError, match=r"leaving_steps.*SystemExit"):
        load_step_modules([leaving])


def test_a_step_of_impossible_types_is_reported_when_its_module_is_loaded(make_module: MakeModule) -> None:
    name = make_module("odd_steps", "from steps import step\n@step\ndef Odd(path: 'Nowhere') -> None: ...\n")
    with pytest.raises(InvalidStep, match="Nowhere"):
        load_step_modules([name])


class EntryPoint:
    def __init__(self, name: str, load: Callable[[], Any]) -> None:
        self.name = name
        self.load = load


def test_installed_packages_bring_their_steps(own: StepRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def entry_points(group: str) -> list[EntryPoint]:
        asked.append(group)
        return [EntryPoint("two", define_two)]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    load_step_modules([])
    assert asked == ["stepline.steps"]
    assert "GetStatusStep" in own


def test_an_entry_point_that_breaks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> None:
        raise KeyError("nothing")

    entry = EntryPoint("bad", load)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry])
    with pytest.raises(SettingsError, match=r"entry point 'bad' .*KeyError"):
        load_step_modules([])
