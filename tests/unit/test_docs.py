"""The pages say what is there: links, settings, names, data that can be read; none of their code escapes the runner."""

import configparser
import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import fields
from importlib import import_module

import pytest
import yaml

from config.rules import load_rules
from config.settings import Settings
from dev.settings_table import MEANING, settings_table
from producer import Producer, Run
from producer.planning.batch import BATCH_KEYS
from steps import StepContext
from steps.classifier import RULES
from steps.options import StepOptions
from steps.outcome import STATUSES
from tests.support.fenced_blocks import (
    RUNNABLE,
    SHOWN,
    Block,
    blocks_in,
    blocks_of,
    pages,
    project_files,
    project_modules,
    text_of,
)
from tests.support.processes import ROOT

READERS: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "yaml": yaml.safe_load,
    "toml": tomllib.loads,
    "ini": configparser.RawConfigParser(strict=False).read_string,
}
ALL = [block for page in pages() for block in blocks_of(page)]
WORDS = re.compile(r"^\s*(\$ )?(stepline|python|pip|make|docker|curl|from \w+ import|import \w+)\b", re.MULTILINE)

_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def test_blocks_are_found_with_their_lines_and_languages() -> None:
    text = "# Page\n\n```sh\nls\n```\n\n~~~python\n# a/b.py\nx = 1\n~~~\n````text\n```sh\n````\n"
    shell, module, shown = blocks_in(text, page="p.md")
    assert (shell.language, shell.line, shell.text, shell.runs) == ("sh", 4, "ls\n", True)
    assert (module.path, module.line) == ("a/b.py", 8)
    assert (shown.runs, shown.text) == (False, "```sh\n")


def test_a_block_that_is_not_closed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"p\.md:1"):
        blocks_in("```sh\nls\n", page="p.md")


def test_a_shell_block_is_run_even_if_it_begins_like_a_file() -> None:
    assert Block("p.md", 1, "sh", "# deploy.sh\nls\n").path is None


def test_every_block_is_of_a_kind_that_is_run_or_known_to_be_shown_only() -> None:
    assert [f"{block} {block.info}" for block in ALL if block.language not in RUNNABLE + SHOWN] == []


def test_no_command_and_no_import_hides_in_a_block_that_is_not_run() -> None:
    plain = [block for block in ALL if block.language in ("", "text")]
    assert [str(block) for block in plain if WORDS.search(block.text) and not _is_synopsis(block)] == []


def _is_synopsis(block: Block) -> bool:
    """Whether it is the list of commands of docs/cli.md, whose placeholders no shell could read."""
    return block.page == "docs/cli.md" and "stepline up [" in block.text


def test_there_is_something_to_run() -> None:
    assert {block.language for block in ALL if block.runs} == set(RUNNABLE)
    assert "my_project.steps" in project_modules()


def test_pages_that_show_the_same_module_agree_on_it() -> None:
    assert project_files()


@pytest.mark.parametrize("block", [block for block in ALL if block.language in READERS], ids=str)
def test_a_block_of_data_can_be_read(block: Block) -> None:
    READERS[block.language](block.text)


@pytest.mark.parametrize("page", pages())
def test_every_link_leads_somewhere(page: str) -> None:
    prose = _CODE.sub("", text_of(page))
    targets = [found["target"] for found in _LINK.finditer(prose) if "://" not in found["target"]]
    assert [target for target in targets if not _leads_somewhere(page, target)] == []


def _leads_somewhere(page: str, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (ROOT / page).parent / path if path else ROOT / page
    return file.exists() and (not anchor or anchor in _anchors(file.read_text(encoding="utf-8")))


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_index() -> None:
    linked = {found["target"].partition("#")[0] for found in _LINK.finditer(text_of("docs/README.md"))}
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} <= linked


def test_the_table_of_settings_is_the_one_of_the_code() -> None:
    assert settings_table() in text_of("docs/operations.md"), "put in what `python -m dev.settings_table` prints"


def test_every_setting_has_a_meaning_and_no_other() -> None:
    assert list(MEANING) == list(Settings.model_fields)


def test_every_variable_that_the_pages_name_is_a_setting() -> None:
    known = {f"STEPLINE_{name.upper()}" for name in Settings.model_fields} | {"STEPLINE_CONFIG"}
    named = {name for page in pages() for name in re.findall(r"STEPLINE_[A-Z_]+[A-Z]", text_of(page))}
    assert named - known == set()


def _cells(page: str, heading: str) -> list[str]:
    """Return the first cells of the tables under a heading."""
    section = text_of(page).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")]


def test_the_patterns_and_context_keys_of_the_page_are_those_of_the_rules() -> None:
    rules, page = load_rules(), text_of("docs/classification.md")
    for patterns in (rules.critical_patterns, rules.non_critical_patterns):
        assert " ".join(f"`{pattern}`" for pattern in patterns) in page
    assert ", ".join(f"`{key}`" for key in rules.context_keys) in page


def test_the_order_of_the_rules_is_the_one_of_the_classifier() -> None:
    section = text_of("docs/classification.md").partition("## The order of the rules")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^\| \d? ?\| `(\w+)` \|", section, re.MULTILINE)) == RULES


def test_every_option_of_a_step_is_explained_and_no_other() -> None:
    named = [name for cell in _cells("docs/writing-steps.md", "Options") for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(field.name for field in fields(StepOptions))


def test_every_part_of_a_steps_context_is_explained_and_there() -> None:
    cells = _cells("docs/writing-steps.md", "The context of an attempt")
    named = [name for cell in cells for name in re.findall(r"`ctx\.(\w+)`", cell)]
    assert [name for name in named if not hasattr(StepContext, name)] == []
    assert set(StepContext.__slots__) - set(named) <= {"deadline", *(n for n in StepContext.__slots__ if n[0] == "_")}


def test_every_outcome_is_explained() -> None:
    assert _cells("docs/concepts.md", "What becomes of a step")[2:] == [f"`{status}`" for status in STATUSES]


def test_every_option_of_a_batch_is_explained() -> None:
    page = text_of("docs/concepts.md")
    assert [key for key in BATCH_KEYS if f"`{key}`" not in page and f"**{key}**" not in page and key != "steps"] == []


def test_every_method_that_the_table_of_a_programs_calls_names_is_there() -> None:
    cells = _cells("docs/concepts.md", "What a program does with runs")
    for owner, kind in (("producer", Producer), ("run", Run)):
        named = [name for cell in cells for name in re.findall(rf"\b{owner}\.(\w+)\(", cell)]
        assert named
        assert [name for name in named if not hasattr(kind, name)] == []


def test_every_picture_is_of_a_kind_that_can_be_drawn() -> None:
    pictures = [block for block in ALL if block.language == "mermaid"]
    assert pictures
    assert [str(one) for one in pictures if not re.match(r"(flowchart (LR|RL|TB)|sequenceDiagram)\n", one.text)] == []


def _names_from_before() -> list[tuple[str, str]]:
    section = text_of("docs/concepts.md").partition("## Names from before")[2]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    return [(there.strip(" `"), here.strip()) for there, here in rows]


def test_every_name_from_before_is_mapped() -> None:
    wanted = {
        "StepClassifier",
        "ParallelExecutionEngine",
        "SequentialExecutionEngine",
        "StepRegistry",
        "ExecutionQueue",
        "ExecutionScheduler",
        "ExecutionContext",
        "ExecutionResult",
        "ExecutionException",
        "BasicSequentialStrategy",
        "SimpleSequentialStrategy",
        "WorkflowExecutor",
    }
    assert {there for there, _ in _names_from_before()} >= wanted


@pytest.mark.parametrize(
    "name",
    sorted({name for _, here in _names_from_before() for name in re.findall(r"`((?:steps|producer)[.\w]+)", here)}),
)
def test_a_name_that_stands_in_for_one_from_before_can_be_imported(name: str) -> None:
    module, *parts = name.split(".")
    found = import_module(module)
    for part in parts:
        found = getattr(found, part)
    assert found.__doc__


@pytest.mark.parametrize(
    "name", ["StepClassifier", "ParallelExecutionEngine", "SequentialExecutionEngine", "StepRegistry"]
)
def test_a_name_that_was_kept_is_the_same_here(name: str) -> None:
    here = dict(_names_from_before())[name]
    assert here.strip("`").rpartition(".")[2] == name
