"""A Ctrl-C that comes while the command is still being imported ends it in one line, never in a traceback."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, clean_environment

LAST_IMPORT = "producer.cli.explain"
"""What the command under test imports last, before it begins."""

PROGRAM = f"""
import importlib, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import_module = importlib.import_module

def interrupted_import(name, package=None):
    module = import_module(name, package)
    if name == {LAST_IMPORT!r}:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000): pass
    return module

importlib.import_module = interrupted_import
from producer.cli import start
sys.argv = ["stepline", *sys.argv[1:]]
sys.exit(start.main())
"""


def test_an_interrupt_during_the_imports_is_one_line_and_exit_code_130() -> None:
    done = run("explain", "GetStep")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stepline: interrupted\n")


def test_with_json_it_is_the_one_document() -> None:
    done = run("explain", "GetStep", "--json")
    assert (done.returncode, done.stderr) == (130, "")
    assert json.loads(done.stdout)["error"]["type"] == "Interrupted"


@pytest.mark.parametrize("module", ["producer.cli", "producer.cli.start"])
def test_what_must_be_there_before_an_interrupt_is_quiet_imports_little(module: str) -> None:
    source = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", source], env=clean_environment(), capture_output=True, text=True, check=True, timeout=20
    )
    assert not {"argparse", "pydantic", "rich", "celery", "redis", "yaml"} & set(done.stdout.split())


def test_what_called_the_command_from_python_keeps_its_handlers() -> None:
    before = signal.getsignal(signal.SIGINT)
    source = "import signal; from producer.cli import main; main(['explain', 'A', '--json'])\n"
    source += "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    done = subprocess.run(
        [sys.executable, "-c", source], env=clean_environment(), capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout.splitlines()[-1] == "True"
    assert signal.getsignal(signal.SIGINT) is before


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=clean_environment(),
        cwd=Path(ROOT),
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
