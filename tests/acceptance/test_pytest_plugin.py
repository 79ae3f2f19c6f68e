"""The pytest plugin, as a user's project has it: a real site for its tests, and steps in the test's own process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, clean_environment, processes_naming, python_program, wait_until

STEPS = """
import time
from pathlib import Path

from steps import step

@step
def GetSumStep(numbers: list[int]) -> int:
    return sum(numbers)

@step(critical=True, timeout=60)
def WriteForEverStep(marker: str) -> None:
    Path(marker).touch()
    time.sleep(60)

@step(critical=True)
def WriteStep(text: str) -> str:
    return text
"""

CONFIGURATION = """
[pytest]
pythonpath = src
stepline_step_modules = shop.steps
stepline_settings =
    retry_delay_s = 0.01
    shutdown_s = 1
filterwarnings = error
"""

# The plugin of this checkout, whatever is installed.
PYTEST = ["-m", "pytest", "-p", "no:stepline", "-p", "producer.pytest_plugin", "-p", "no:cacheprovider", "-q"]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A project with its steps under src, whose tests are to be written."""
    folder = tmp_path / "shop"
    package = folder / "src" / "shop"
    package.mkdir(parents=True)
    (package / "steps.py").write_text(STEPS)
    (folder / "pytest.ini").write_text(CONFIGURATION)
    return folder


def ran(folder: Path, text: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a test file of the project; its temporary folders are inside the project's."""
    (folder / "test_shop.py").write_text(text)
    return subprocess.run(
        [sys.executable, *PYTEST, "--basetemp", str(folder / "tmp")],
        cwd=folder,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_tests_of_a_project_run_its_steps_on_a_site_that_is_theirs_and_is_gone_afterwards(shop: Path) -> None:
    (shop / "stepline.toml").write_text('redis_url = "redis://nowhere.invalid"\n')
    ended = ran(
        shop,
        """
from producer import Producer

def test_a_step(stepline_site):
    result = stepline_site.producer.run(["GetSumStep"], context={"numbers": [1, 2]}, timeout=20)
    assert result["GetSumStep"].value == 3
    assert "is ready" in stepline_site.log()

def test_code_that_makes_its_own_producer(stepline_site, monkeypatch):
    monkeypatch.setenv("STEPLINE_REDIS_URL", stepline_site.url)
    with Producer() as producer:
        assert producer.run(["WriteStep"], context={"text": "a"}, timeout=20).ok

def test_the_settings(stepline_site):
    assert stepline_site.settings.retry_delay_s == 0.01
    assert stepline_site.settings.redis_url == stepline_site.environment["STEPLINE_REDIS_URL"] == stepline_site.url
""",
        STEPLINE_REDIS_URL="redis://elsewhere.invalid",
    )
    assert "3 passed" in ended.stdout, ended.stdout + ended.stderr
    assert processes_naming(str(shop)) == []


def test_a_test_waits_for_nothing_that_the_one_before_has_left(shop: Path) -> None:
    ended = ran(
        shop,
        """
import time

def test_that_leaves_the_lane_held(stepline_site, tmp_path):
    marker = tmp_path / "marker"
    stepline_site.producer.submit(["WriteForEverStep", "WriteStep"], context={"marker": str(marker), "text": "a"})
    while not marker.exists():
        time.sleep(0.01)

def test_that_needs_the_lane(stepline_site):
    assert stepline_site.producer.run(["WriteStep"], context={"text": "b"}, timeout=20).ok
""",
    )
    assert "2 passed" in ended.stdout, ended.stdout + ended.stderr


def test_a_site_ends_with_a_pytest_that_is_killed(shop: Path) -> None:
    marker = shop / "marker"
    (shop / "test_shop.py").write_text(
        f"""
import signal

def test_that_hangs(stepline_site):
    open({str(marker)!r}, "w").close()
    signal.pause()
"""
    )
    arguments = [*PYTEST, "--basetemp", str(shop / "tmp")]
    with python_program(arguments, environment=clean_environment(), cwd=shop) as program:
        wait_until(marker.exists)
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
        wait_until(lambda: processes_naming(str(shop)) == [])


def test_a_site_that_cannot_start_says_why(shop: Path) -> None:
    (shop / "src" / "shop" / "steps.py").write_text("import a_module_that_is_not_there\n")
    ended = ran(shop, "def test_a_step(stepline_site):\n    pass\n")
    assert "1 error" in ended.stdout
    assert "step module 'shop.steps' (STEPLINE_STEP_MODULES) can't be imported" in ended.stdout
    assert processes_naming(str(shop)) == []


def test_steps_that_a_test_defines_run_in_its_own_process_and_are_forgotten(shop: Path) -> None:
    ended = ran(
        shop,
        """
import pytest
from steps import InvalidBatch, step

def test_a_step_of_its_own_beside_one_of_the_project(stepline_inline):
    @step
    def GetTwiceStep(numbers: list[int]) -> list[int]:
        return numbers * 2

    result = stepline_inline(["GetTwiceStep", "GetSumStep"], context={"numbers": [1, 2]})
    assert result.mode == "parallel"
    assert [outcome.value for outcome in result.outcomes] == [[1, 2, 1, 2], 3]

def test_another_one_of_the_same_name(stepline_inline):
    @step(critical=False)
    def GetTwiceStep() -> None:
        raise ValueError("as told")

    outcome = stepline_inline(["GetTwiceStep"])["GetTwiceStep"]
    assert (outcome.status, outcome.attempts) == ("failed", 2)

def test_none_of_that_name(stepline_inline):
    with pytest.raises(InvalidBatch, match="GetTwiceStep"):
        stepline_inline(["GetTwiceStep"])
""",
    )
    assert "3 passed" in ended.stdout, ended.stdout + ended.stderr


def test_where_pytest_names_no_modules_the_environment_does(shop: Path) -> None:
    (shop / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (shop / "more.py").write_text("from steps import step\n\n@step\ndef GetOneStep() -> int:\n    return 1\n")
    ended = ran(
        shop,
        """
def test_inline(stepline_inline):
    assert stepline_inline(["GetOneStep"])["GetOneStep"].value == 1

def test_on_a_site(stepline_site):
    assert stepline_site.producer.run(["GetOneStep"], timeout=20)["GetOneStep"].value == 1
""",
        STEPLINE_STEP_MODULES="more",
    )
    assert "2 passed" in ended.stdout, ended.stdout + ended.stderr


def test_a_wrong_line_of_the_configuration_is_named(shop: Path) -> None:
    (shop / "pytest.ini").write_text("[pytest]\nstepline_settings = retry_delay_s 0.01\n")
    ended = ran(shop, "def test_a_step(stepline_inline):\n    pass\n")
    assert "stepline_settings: 'retry_delay_s 0.01' is no NAME = VALUE" in ended.stdout


def test_the_plugin_costs_a_pytest_that_uses_no_site_next_to_nothing() -> None:
    program = "import sys, producer.pytest_plugin; print(sorted({'celery', 'redis', 'pydantic'} & set(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", program], env=clean_environment(), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\n"
