"""The pytest plugin: ``stepline_site``, a real site for tests, and ``stepline_inline``, the engines without one.

Installed as the plugin ``stepline``. It is loaded by every pytest of its environment, so what a site needs is imported
only when a test asks for one.
"""

from collections.abc import Generator, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from producer.site_for_tests import InlineSteps, SiteForTests

STEP_MODULES: Final = "stepline_step_modules"
"""Names the modules that define steps, one a line; where it is not set, ``STEPLINE_STEP_MODULES`` does."""

SETTINGS: Final = "stepline_settings"
"""Settings for tests, one a line, such as ``retry_delay_s = 0.01``."""

_SITE: Final = "producer.site_for_tests"
_RUNNING: Final = pytest.StashKey["SiteForTests"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what a project may set in its pytest configuration."""
    parser.addini(STEP_MODULES, "modules that define Stepline steps, one a line", type="linelist", default=[])
    parser.addini(SETTINGS, "settings of Stepline for tests, one NAME = VALUE a line", type="linelist", default=[])


@pytest.fixture(scope="session")
def stepline_site(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[SiteForTests]":
    """A real site: a private Redis and one worker for each queue, ended with the test session.

    It has ``producer``, ``url``, ``settings`` and ``environment``. After each test, runs that it left unsettled are
    cancelled.
    """
    site = import_module(_SITE).SiteForTests(
        tmp_path_factory.mktemp("stepline"),
        root=pytestconfig.rootpath,
        step_modules=pytestconfig.getini(STEP_MODULES),
        settings=pytestconfig.getini(SETTINGS),
        import_path=pytestconfig.getini("pythonpath"),
    )
    with site:
        pytestconfig.stash[_RUNNING] = site
        yield site
        del pytestconfig.stash[_RUNNING]


@pytest.fixture
def stepline_inline(pytestconfig: pytest.Config) -> "Iterator[InlineSteps]":
    """Runs steps in this process: ``stepline_inline(["GetSumStep"], context)`` returns the result.

    Steps that the test defines are forgotten at its end.
    """
    inline = import_module(_SITE).inline_steps(
        root=pytestconfig.rootpath,
        step_modules=pytestconfig.getini(STEP_MODULES),
        settings=pytestconfig.getini(SETTINGS),
    )
    with inline as execute:
        yield execute


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Cancel what the test has left unsettled, so that the next one waits in no lane for it."""
    result = yield
    site = item.config.stash.get(_RUNNING, None)
    if site is not None and "stepline_site" in getattr(item, "fixturenames", ()):
        site.cancel_leftovers()
    return result
