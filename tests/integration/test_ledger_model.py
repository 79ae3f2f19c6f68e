"""The ledger's scripts against the tables of a step's life and of a lane, on every real Redis there is."""

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.ledger_model import LedgerMachine
from tests.support.ledgers import ledger_on, running_server, server_programs

EXAMPLES = 500


@pytest.mark.parametrize("server", sorted(server_programs()))
def test_the_scripts_follow_the_tables_on_a_real_redis(server: str) -> None:
    with running_server(server_programs()[server]) as url:
        client = redis.Redis.from_url(url)

        class OnRedis(LedgerMachine):
            @staticmethod
            def make_ledger():  # type: ignore[no-untyped-def]
                client.flushall()
                return ledger_on(client), client

        run_state_machine_as_test(
            OnRedis,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        client.close()
