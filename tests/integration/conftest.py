"""One Redis server for the tests of this tier that need any."""

from collections.abc import Iterator

import pytest

from tests.support.real_redis import RealSite, newest_server, real_site


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    yield from newest_server()


@pytest.fixture
def real(redis_url: str) -> Iterator[RealSite]:
    """A site without workers on an empty Redis."""
    with real_site(redis_url, heartbeat_s=0.05, lease_s=0.5, republish_s=0.1) as site:
        yield site
