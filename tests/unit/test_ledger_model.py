"""The ledger's scripts against the tables of a step's life and of a lane, on fakeredis."""

from hypothesis import HealthCheck, settings

from tests.support.ledger_machine import UNHURRIED, LedgerMachine
from tests.support.ledgers import fake_client, ledger_on


class OnFakeredis(LedgerMachine):
    @staticmethod
    def make_ledger():  # type: ignore[no-untyped-def]
        client = fake_client()
        client.flushall()
        return ledger_on(client, **UNHURRIED), client


TestTheScriptsFollowTheTablesOnFakeredis = OnFakeredis.TestCase
TestTheScriptsFollowTheTablesOnFakeredis.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
