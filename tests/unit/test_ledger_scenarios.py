"""Every script of the ledger answers as it must, on fakeredis."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from steps.errors import SteplineError
from steps.ledger.scripts import SCRIPTS
from tests.support.ledger_mutants import STORY_MUTANTS, Mutant, planted
from tests.support.ledger_scenarios import SCENARIOS
from tests.support.ledger_story import Scenario
from tests.support.ledgers import fake_client


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_story_is_told_as_expected(scenario: Scenario) -> None:
    assert scenario.told_by(fake_client()) == scenario.expected


def test_the_stories_run_every_script() -> None:
    missing = {script.digest: name for name, script in SCRIPTS.items()}
    for scenario in reversed(SCENARIOS):  # the scripts that few stories run are those of the last ones
        if not missing:
            break
        scenario.told_by(noting_client(lambda digest: missing.pop(digest, None)))
    assert list(missing.values()) == []


def noting_client(note: Callable[[str], object]) -> Any:
    """Return an empty Redis of its own that tells which scripts are run."""
    client = fake_client()
    run = client.evalsha

    def noting(digest: str, *arguments: object) -> object:
        note(digest)
        return run(digest, *arguments)

    client.evalsha = noting
    return client


@pytest.mark.parametrize("mutant", STORY_MUTANTS, ids=str)
def test_a_story_tells_of_a_planted_bug(mutant: Mutant) -> None:
    scenario = next(one for one in SCENARIOS if one.name == mutant.story)
    with planted(mutant):
        assert not _is_told(scenario)


def _is_told(scenario: Scenario) -> bool:
    try:
        return scenario.told_by(fake_client()) == scenario.expected
    except (ValueError, SteplineError, redis.ResponseError):  # what a story goes on with is not there
        return False
