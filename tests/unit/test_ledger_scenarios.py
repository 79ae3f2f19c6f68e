"""Every script of the ledger answers as it must, on fakeredis."""

import pytest

from steps.ledger.scripts import SCRIPTS
from tests.support.ledger_scenarios import SCENARIOS
from tests.support.ledger_story import Scenario
from tests.support.ledgers import fake_client


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_story_is_told_as_expected(scenario: Scenario) -> None:
    assert scenario.told_by(fake_client()) == scenario.expected


def test_the_stories_run_every_script() -> None:
    client, used = fake_client(), set()
    run = client.evalsha

    def noting(digest: str, *arguments: object) -> object:
        used.add(digest)
        return run(digest, *arguments)

    client.evalsha = noting
    for scenario in SCENARIOS:
        if used == {script.digest for script in SCRIPTS.values()}:
            break
        scenario.told_by(client)
    assert {name for name, script in SCRIPTS.items() if script.digest not in used} == set()
