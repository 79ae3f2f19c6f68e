"""The ledger's scripts against the tables of a step's life and of a lane, on every real Redis there is."""

import pytest
import redis

from steps.ledger.states import LANE_LIFE, STEP_LIFE
from tests.support.ledger_comparison import Walked
from tests.support.ledger_machine_runs import run_machine
from tests.support.ledgers import running_server, server_programs

EXAMPLES = 110
"""What takes about 10 s on a machine with nothing else to do."""

MORE_EXAMPLES = 30
MOST_NUMBERS = 20
"""So many times more, with other choices, until every row of the tables has been seen to be taken."""

ROWS: Walked = {
    (thing, state, event)
    for thing, table in (("step", STEP_LIFE), ("lane", LANE_LIFE))
    for state, events in table.items()
    for event in events
}


@pytest.mark.parametrize("server", sorted(server_programs()))
def test_the_scripts_follow_the_tables_and_take_every_row_of_them(server: str) -> None:
    with running_server(server_programs()[server]) as url:
        client = redis.Redis.from_url(url)
        walked = run_machine(client, examples=EXAMPLES, verbs=40)
        for number in range(1, MOST_NUMBERS):
            if walked >= ROWS:
                break
            walked |= run_machine(client, examples=MORE_EXAMPLES, verbs=40, number=number)
        client.close()
    assert ROWS - walked == set()
