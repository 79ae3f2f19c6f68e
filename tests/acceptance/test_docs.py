"""Every shell and Python block of README, docs and the examples' pages runs as it is written."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from producer.site_for_tests import SiteForTests
from tests.support.fenced_blocks import Block, blocks_of, pages, project_files, project_modules
from tests.support.page_run import PageRun, page_run
from tests.support.processes import ROOT


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project whose modules the pages show."""
    folder = tmp_path_factory.mktemp("docs")
    for path, text in project_files().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


@pytest.fixture(scope="module")
def page_site(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteForTests]:
    """One site for all pages; its workers know the steps of the project."""
    folder = tmp_path_factory.mktemp("site")
    with SiteForTests(folder, root=project, step_modules=project_modules(), import_path=[ROOT]) as site:
        yield site


@pytest.mark.parametrize("page", [page for page in pages() if not page.startswith("examples/")])
def test_every_shell_and_python_block_of_a_page_runs(
    page: str, project: Path, page_site: SiteForTests, tmp_path: Path
) -> None:
    variables = {name: page_site.environment[name] for name in ("STEPLINE_DATA_DIR", "STEPLINE_STEP_MODULES")}
    with page_run(tmp_path / "page", project=project, site_url=page_site.url, variables=variables) as running:
        assert ran_of(running, page) == [block for block in blocks_of(page) if block.runs]


@pytest.mark.parametrize("page", [page for page in pages() if page.startswith("examples/")])
def test_every_shell_and_python_block_of_an_examples_page_runs_in_a_checkout(page: str, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "examples").symlink_to(ROOT / "examples")
    with page_run(tmp_path / "page", project=checkout) as running:
        assert ran_of(running, page) == [block for block in blocks_of(page) if block.runs]


def ran_of(running: PageRun, page: str) -> list[Block]:
    """Run the blocks of a page, and return those that were run."""
    ran: list[Block] = []
    for block in blocks_of(page):
        running.run(block)
        ran += [block] * block.runs
    return ran
