"""Sites for the fault tests: one for a module's worth of faults, or a new one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.fault_sites import FaultSite


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultSite]:
    """Two workers a queue, for the faults of one module; each test leaves them alive."""
    with FaultSite(tmp_path_factory.mktemp("site"), scale={"critical": 2, "parallel": 2}) as site:
        yield site


@pytest.fixture
def site(shared_site: FaultSite) -> Iterator[FaultSite]:
    """That site, whole at the beginning, its invariants checked in the end."""
    shared_site.wait_until_whole()
    yield shared_site
    shared_site.check()


@pytest.fixture
def new_site(tmp_path: Path) -> Iterator[Callable[..., FaultSite]]:
    """Start a site of the test's own."""
    with ExitStack() as stack:

        def start(**options: Any) -> FaultSite:
            return stack.enter_context(FaultSite(tmp_path / "site", **options))

        yield start
