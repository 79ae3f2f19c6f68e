"""What the pytest plugin makes of a project's configuration, without starting anything."""

import sys
import tomllib
from pathlib import Path

import pytest

from config.errors import SettingsError
from producer.site_for_tests import SiteForTests, inline_steps
from steps import StepRegistry, step
from tests.support.processes import ROOT


@pytest.fixture(autouse=True)
def import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has the import path for itself."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_the_plugin_is_installed_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"stepline": "producer.pytest_plugin"}


def test_a_site_for_tests_never_uses_the_redis_and_the_broker_that_are_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stepline.toml").write_text(
        'redis_url = "redis://a.invalid"\nbroker_url = "amqp://b.invalid"\nmax_steps = 7\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEPLINE_REDIS_URL", "redis://c.invalid")
    monkeypatch.setenv("STEPLINE_DATA_DIR", str(tmp_path / "of_the_project"))
    settings = SiteForTests(tmp_path / "site", root=tmp_path).settings
    assert (settings.redis_url, settings.broker_url) == (None, None)
    assert settings.data_dir == tmp_path / "site" / "data"
    assert settings.max_steps == 7


def test_what_pytest_configures_comes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPLINE_STEP_MODULES", "theirs")
    monkeypatch.setenv("STEPLINE_RETRIES", "3")
    wanted = ["retries = 2", "key_prefix=mine"]
    settings = SiteForTests(tmp_path, root=tmp_path, step_modules=["one", "two.three"], settings=wanted).settings
    assert settings.step_modules == ("one", "two.three")
    assert (settings.retries, settings.key_prefix) == (2, "mine")


def test_workers_find_what_the_tests_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/given")
    site = SiteForTests(tmp_path, root=tmp_path, import_path=[tmp_path / "src"])
    assert site.environment["PYTHONPATH"] == f"{tmp_path / 'src'}:/given"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("retry_delay_s", "'retry_delay_s' is no NAME = VALUE"),
        ("retry_dely_s = 1", "STEPLINE_RETRY_DELY_S is no setting of Stepline"),
        ("retries = many", "STEPLINE_RETRIES"),
    ],
)
def test_a_wrong_setting_is_named(line: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=problem):
        SiteForTests(tmp_path, root=tmp_path, settings=[line])


def test_inline_steps_run_under_the_settings_and_are_forgotten(tmp_path: Path) -> None:
    with inline_steps(root=tmp_path, step_modules=[], settings=["retry_delay_s = 0.001", "retries = 2"]) as execute:

        @step(critical=False)
        def GetMadeUpTroubleStep(reason: str) -> None:
            raise ValueError(reason)

        outcome = execute(["GetMadeUpTroubleStep"], context={"reason": "as told"})["GetMadeUpTroubleStep"]
        assert (outcome.attempts, outcome.error and outcome.error.message) == (3, "as told")
    assert "GetMadeUpTroubleStep" not in StepRegistry()


def test_inline_steps_find_the_modules_of_the_project(tmp_path: Path) -> None:
    text = "from steps import step\n\n@step\ndef GetOneStep() -> int:\n    return 1\n"
    (tmp_path / "made_up_shop.py").write_text(text)
    with (
        StepRegistry().isolated(),
        inline_steps(root=tmp_path, step_modules=["made_up_shop"], settings=[]) as execute,
    ):
        assert execute(["GetOneStep"])["GetOneStep"].value == 1
    del sys.modules["made_up_shop"]
