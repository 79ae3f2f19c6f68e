"""The ledger's scripts against the tables of steps and lanes, on fakeredis; and proof that this finds bugs."""

import pytest

from tests.support.ledger_machine_runs import finds_a_failure, run_machine
from tests.support.ledger_mutants import MUTANTS, Mutant, planted
from tests.support.ledgers import fake_client

EXAMPLES = 25
EXAMPLES_FOR_A_MUTANT = 40


def test_the_scripts_follow_the_tables_on_fakeredis() -> None:
    assert run_machine(fake_client(), examples=EXAMPLES)


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_the_machine_finds_a_planted_bug(mutant: Mutant) -> None:
    with planted(mutant):
        assert finds_a_failure(fake_client(), examples=EXAMPLES_FOR_A_MUTANT)
