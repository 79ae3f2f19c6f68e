"""A Redis that does not answer: every verb of a producer ends with an error of ours within 5 s."""

import asyncio
import inspect
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from producer import Producer, Run
from producer.planning.batch import parse_batch
from steps import BrokerUnavailable, SubmitUnknown, step
from steps.ledger.records import Ready
from steps.registry import StepRegistry
from tests.support.fault_redis import FaultRedis
from tests.support.ledgers import fast_settings

CLEAR_ERROR_S = 5.0
BUSY_S = 1.0
"""On top of it, for a machine that has other things to do."""

LOCAL = {"attach", "plan", "reload_rules", "reload_rules_on_sighup", "close"}
"""Verbs of a producer that ask nothing, or are asked here by another name."""

PRODUCER_VERBS: dict[str, Callable[[Producer, str], object]] = {
    "submit": lambda producer, _: producer.submit(["GetStep"]),
    "submit_batch": lambda producer, _: producer.submit_batch(parse_batch(["GetStep"], settings=producer.settings)),
    "run": lambda producer, _: producer.run(["GetStep"]),
    "attach": lambda producer, run_id: producer.attach(run_id),
    "retry": lambda producer, run_id: producer.retry(run_id),
    "cancel": lambda producer, run_id: producer.cancel(run_id),
    "status": lambda producer, run_id: producer.status(run_id),
    "runs": lambda producer, _: producer.runs(),
    "stats": lambda producer, _: producer.stats(),
    "queues": lambda producer, _: producer.queues(),
    "workers": lambda producer, _: producer.workers(),
    "clear_queue": lambda producer, _: producer.clear_queue("parallel"),
    "purge": lambda producer, _: producer.purge(),
    "known_steps": lambda producer, _: producer.known_steps(),
    "expected_ms": lambda producer, _: producer.expected_ms(
        producer.plan(parse_batch(["GetStep"], settings=producer.settings))
    ),
}

RUN_VERBS: dict[str, Callable[[Run], object]] = {
    "gather": lambda run: run.gather(),
    "gather_async": lambda run: asyncio.run(run.gather_async()),
    "outcomes": lambda run: list(run.outcomes()),
    "cancel": lambda run: run.cancel(),
    "pause": lambda run: run.pause(),
    "resume": lambda run: run.resume(),
    "cancel_step": lambda run: run.cancel_step("GetStep"),
    "status": lambda run: run.status(),
    "schedule": lambda run: run.schedule(),
    "events": lambda run: list(run.events(follow=True)),
}


def public_verbs(of: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(of, inspect.isfunction) if not name.startswith("_")}


def test_no_verb_is_forgotten_here() -> None:
    assert set(PRODUCER_VERBS) | LOCAL == public_verbs(Producer)
    assert set(RUN_VERBS) == public_verbs(Run)


@pytest.fixture(autouse=True)
def _steps() -> Iterator[None]:
    with StepRegistry().isolated():

        @step(critical=False)
        def GetStep() -> None: ...

        yield


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultRedis]:
    server = FaultRedis(tmp_path / "redis").start()
    yield server
    server.stop()


def ends_clearly(verb: Callable[[], object]) -> str:
    """Return what is wrong with how a verb ends; nothing where it is as it should be."""
    began_s = time.monotonic()
    try:
        verb()
    except (BrokerUnavailable, SubmitUnknown):
        took_s = time.monotonic() - began_s
        return "" if took_s < CLEAR_ERROR_S + BUSY_S else f"took {took_s:.1f} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "ended well"


def walk(producer: Producer, run: Run | None, run_id: str) -> dict[str, str]:
    """Call every verb at once, each in a thread, and return what is wrong by verb."""
    verbs: dict[str, Callable[[], object]] = {
        f"Producer.{name}": lambda verb=verb: verb(producer, run_id)  # type: ignore[misc]
        for name, verb in PRODUCER_VERBS.items()
    }
    if run is not None:
        verbs |= {f"Run.{name}": lambda verb=verb: verb(run) for name, verb in RUN_VERBS.items()}  # type: ignore[misc]
    with ThreadPoolExecutor(len(verbs)) as threads:
        found = dict(zip(verbs, threads.map(ends_clearly, verbs.values()), strict=True))
    return {name: wrong for name, wrong in found.items() if wrong}


def test_a_redis_that_freezes_is_told_of_by_every_verb(server: FaultRedis) -> None:
    with Producer(fast_settings(), server.url) as producer:
        run = producer.submit(["GetStep"])
        server.freeze()
        try:
            assert walk(producer, run, run.id) == {}
            began_s = time.monotonic()
            producer.close()
            assert time.monotonic() - began_s < CLEAR_ERROR_S + BUSY_S
        finally:
            server.freeze(thaw=True)


def test_a_redis_that_goes_away_is_told_of_by_every_verb(server: FaultRedis) -> None:
    with Producer(fast_settings(), server.url) as producer:
        run = producer.submit(["GetStep"])
        server.kill()
        assert walk(producer, run, run.id) == {}


@pytest.mark.parametrize("how", ["nobody listens", "frozen", "a black hole"])
def test_a_redis_that_never_answered_is_told_of_by_every_verb(server: FaultRedis, how: str) -> None:
    without = {"nobody listens": away, "frozen": frozen, "a black hole": black_hole}[how]
    with without(server) as url, Producer(fast_settings(), url) as producer:
        assert walk(producer, None, "some_run") == {}


@contextmanager
def away(server: FaultRedis) -> Iterator[str]:
    server.kill()
    yield server.url


@contextmanager
def frozen(server: FaultRedis) -> Iterator[str]:
    server.freeze()
    yield server.url
    server.freeze(thaw=True)


@contextmanager
def black_hole(_: FaultRedis) -> Iterator[str]:
    """Yield the URL of a port that lets nobody in and refuses nobody: its line of callers is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        callers: list[socket.socket] = []
        try:
            while True:
                callers.append(socket.create_connection(listening.getsockname(), timeout=0.3))
        except TimeoutError:
            yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"
        finally:
            for caller in callers:
                caller.close()


@pytest.mark.parametrize("without", [frozen, away], ids=["frozen", "away"])
def test_a_publish_that_is_not_answered_has_an_end(server: FaultRedis, without: Callable[..., Any]) -> None:
    with Producer(fast_settings(), server.url) as producer:
        producer.submit(["GetStep"])
        publisher = producer._connections.publisher
        with without(server):
            began_s = time.monotonic()
            assert not publisher.publish([Ready("r", 0, "parallel", 1)])
            assert time.monotonic() - began_s < CLEAR_ERROR_S + BUSY_S
