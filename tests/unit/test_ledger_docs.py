"""docs/ledger.md shows what the code has: the tables, the keys and every script."""

from pathlib import Path

import pytest

from steps.ledger import keys
from steps.ledger.scripts import SCRIPTS
from steps.ledger.states import LANE_LIFE, STEP_LIFE, as_markdown

PAGE = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text()
TABLES = PAGE.split("\n\n")


@pytest.mark.parametrize("table", [STEP_LIFE, LANE_LIFE], ids=["steps", "lanes"])
def test_the_page_shows_exactly_the_table(table: dict[str, dict[str, str]]) -> None:
    assert as_markdown(table) in TABLES


@pytest.mark.parametrize("table", [STEP_LIFE, LANE_LIFE], ids=["steps", "lanes"])
def test_the_page_says_what_every_state_means(table: dict[str, dict[str, str]]) -> None:
    explained = [line for line in PAGE.splitlines() if line.count("|") == 3]
    assert all(any(line.startswith(f"| {state} |") for line in explained) for state in table)


def test_the_page_shows_the_keys_as_the_module_does() -> None:
    assert (keys.__doc__ or "").partition("\n\n")[2].strip() in TABLES


def test_the_page_says_what_every_script_does() -> None:
    section = PAGE.partition("## Scripts")[2].partition("\n## ")[0]
    rows = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")][2:]
    assert rows == list(SCRIPTS)


def test_every_event_leads_to_a_state_of_the_same_table() -> None:
    for table in (STEP_LIFE, LANE_LIFE):
        assert {next_ for events in table.values() for next_ in events.values()} <= table.keys()
