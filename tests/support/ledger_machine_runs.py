"""Ways to run the machine of the ledger's model: always the same examples, told apart by a seed."""

from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.ledger_comparison import Walked
from tests.support.ledger_machine import LedgerMachine
from tests.support.ledger_rig import UNHURRIED
from tests.support.ledgers import ledger_on
from tests.support.uncovered import uncovered


def run_machine(client: Any, *, examples: int, verbs: int = 30, number: int = 0, **changes: Any) -> Walked:
    """Run the machine on an empty Redis; returns the rows of the tables that were seen to be taken.

    Args:
        client: a client of that Redis; everything in it is deleted.
        examples: how often to begin anew.
        verbs: how many verbs to call each time.
        number: of the random choices: the same number, the same choices.
        changes: of hypothesis' settings.
    """
    walked: Walked = set()

    @seed(number)
    class OnThisRedis(LedgerMachine):
        @staticmethod
        def make_ledger() -> Any:
            client.flushall()
            return ledger_on(client, **UNHURRIED), client

    OnThisRedis.walked = walked
    how = {
        "max_examples": examples,
        "stateful_step_count": verbs,
        "deadline": None,
        "database": None,
        "report_multiple_bugs": False,
        "suppress_health_check": list(HealthCheck),
        **changes,
    }
    with uncovered():
        run_state_machine_as_test(OnThisRedis, settings=settings(**how))
    return walked


def finds_a_failure(client: Any, *, examples: int) -> bool:
    """Run the machine quietly, until the first failure if there is one."""
    try:
        run_machine(client, examples=examples, phases=[Phase.generate], verbosity=Verbosity.quiet)
    except AssertionError:
        return True
    return False
