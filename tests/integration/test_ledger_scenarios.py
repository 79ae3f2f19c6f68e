"""Every script of the ledger answers on every real Redis there is as it does on fakeredis."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import redis

from tests.support.ledger_scenarios import SCENARIOS
from tests.support.ledger_story import Scenario
from tests.support.ledgers import fake_client, running_server, server_programs


@pytest.fixture(scope="module", params=sorted(server_programs()))
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    with running_server(server_programs()[request.param]) as url, redis.Redis.from_url(url) as client:
        yield client


@cache
def told_by_fakeredis(scenario: str) -> tuple[str, ...]:
    return next(one for one in SCENARIOS if one.name == scenario).told_by(fake_client())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_real_redis_tells_the_same_story_as_fakeredis(scenario: Scenario, client: Any) -> None:
    assert scenario.told_by(client) == told_by_fakeredis(scenario.name)
