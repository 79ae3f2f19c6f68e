"""Scripts as functions of Redis 7, and evaluated where a server has none or does not let us."""

from collections.abc import Iterator
from contextlib import closing

import pytest
import redis

from steps.ledger import Ledger
from steps.ledger.scripts import SCRIPTS
from tests.support.ledger_story import run_of
from tests.support.ledgers import fast_settings, running_server, server_programs


@pytest.fixture(params=sorted(server_programs().items()), ids=lambda item: item[0])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server of each kind there is here, empty."""
    with running_server(request.param[1]) as url:
        yield url


def calls_of(client: "redis.Redis") -> dict[str, int]:
    return {name: facts["calls"] for name, facts in client.info("commandstats").items()}


def has_functions(client: "redis.Redis") -> bool:
    return int(client.info("server")["redis_version"].partition(".")[0]) >= 7


def test_a_verb_is_a_function_where_the_server_has_functions_and_is_evaluated_elsewhere(url: str) -> None:
    with redis.Redis.from_url(url) as client, closing(Ledger(fast_settings(), url=url)) as ledger:
        for number in range(3):
            ledger.open(run_of(f"run{number}", ("parallel", "", 1)))
        calls = calls_of(client)
        evaluated = calls.get("cmdstat_evalsha", 0)
        assert (calls.get("cmdstat_fcall", 0) > 3, evaluated > 2) == (has_functions(client), not has_functions(client))


def test_functions_that_are_gone_are_loaded_anew(url: str) -> None:
    with redis.Redis.from_url(url) as client, closing(Ledger(fast_settings(), url=url)) as ledger:
        ledger.open(run_of("before", ("parallel", "", 1)))
        client.script_flush()
        if has_functions(client):
            client.function_flush()
        ledger.open(run_of("after", ("parallel", "", 1)))
        assert client.exists("stepline:v1:run:after")
        assert calls_of(client).get("cmdstat_function|load", 0) == (2 * len(SCRIPTS) if has_functions(client) else 0)


def test_who_may_not_call_functions_evaluates_the_scripts(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        if not has_functions(client):
            pytest.skip("this server has no functions to forbid")
        client.execute_command("ACL", "SETUSER", "default", "-fcall")
        with closing(Ledger(fast_settings(), url=url)) as ledger:
            ledger.open(run_of("run", ("parallel", "", 1)))
        assert client.exists("stepline:v1:run:run")


def test_two_that_load_a_function_at_once_both_go_on(url: str) -> None:
    with redis.Redis.from_url(url) as client, closing(Ledger(fast_settings(), url=url)) as ledger:
        if not has_functions(client):
            pytest.skip("this server has no functions")
        client.function_load(SCRIPTS["open"].library)
        ledger._scripts._client.fcall = _not_found_once(ledger._scripts._client.fcall)
        ledger.open(run_of("run", ("parallel", "", 1)))
        assert client.exists("stepline:v1:run:run")


def _not_found_once(fcall):
    answers = iter([redis.ResponseError("Function not found")])

    def call(*arguments):
        for answer in answers:
            raise answer
        return fcall(*arguments)

    return call
