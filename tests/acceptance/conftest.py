"""Sites of real workers for the tests of this tier, each started once, and files that hold their steps."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from producer import Producer
from tests.support.latches import Journal, Latch
from tests.support.worker_sites import WorkerSite

QUICK_DEATHS = {
    "STEPLINE_HEARTBEAT_S": "0.25",
    "STEPLINE_LEASE_S": "2",
    "STEPLINE_RESTART_DELAY_S": "0.05",
    "STEPLINE_SHUTDOWN_S": "2",
}
"""Settings with which a death is noticed after 2 s, and a worker that stops gives back what runs after 1.5 s."""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerSite]:
    """Two critical workers and a parallel one, for tests that leave them alive."""
    # The zombies that tests make on purpose must not have the worker started again.
    yield from _running(tmp_path_factory, "site", scale={"critical": 2}, STEPLINE_ZOMBIE_LIMIT="100")


@pytest.fixture(scope="session")
def fragile_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerSite]:
    """One critical worker and two parallel ones, for tests that end them."""
    few = {"STEPLINE_MAX_TASKS_PER_CHILD": "4", "STEPLINE_ZOMBIE_LIMIT": "3"}
    yield from _running(tmp_path_factory, "fragile", scale={"parallel": 2}, **QUICK_DEATHS, **few)


@pytest.fixture
def mortal_site(fragile_site: WorkerSite) -> Iterator[WorkerSite]:
    """The fragile site with all of its workers there."""
    fragile_site.wait_until_whole()
    yield fragile_site
    fragile_site.wait_until_whole()


@pytest.fixture
def producer(site: WorkerSite) -> Producer:
    return site.producer


@pytest.fixture
def latches(tmp_path: Path) -> Iterator[Callable[[str], Latch]]:
    """Make latches by name; all of them are opened in the end, so that no step outlives its test."""
    made: list[Latch] = []

    def make(name: str) -> Latch:
        made.append(Latch(tmp_path / name))
        return made[-1]

    yield make
    for latch in made:
        latch.open()


@pytest.fixture
def latch(latches: Callable[[str], Latch]) -> Latch:
    return latches("latch")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def _running(
    factory: pytest.TempPathFactory, name: str, *, scale: dict[str, int], **variables: str
) -> Iterator[WorkerSite]:
    site = WorkerSite(factory.mktemp(name), scale=scale, variables=variables)
    site.start()
    try:
        yield site
    finally:
        site.stop()
