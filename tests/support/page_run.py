"""Runs the blocks of a page for real, in a folder of their own, beside a site that is up."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support import page_commands
from tests.support.fenced_blocks import Block
from tests.support.processes import clean_environment, untraced

BLOCK_TIMEOUT_S = 40.0
"""For one shell block; the slowest takes a few seconds."""


class PageFailure(AssertionError):
    """A block of a page does not run."""


class PageRun:
    """A folder, and a Python process, in which the blocks of one page are run.

    Args:
        folder: Holds the project that the pages share.
        environment: Of everything that is run.
        python: Runs the Python blocks.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], python: "subprocess.Popen[str]") -> None:
        self._folder = folder
        self._environment = environment
        self._python = python

    def run(self, block: Block) -> None:
        """Run a block, or write the file that it shows.

        Raises:
            PageFailure: It does not run; the message holds the page's line and what it said.
        """
        if block.path:
            self._write(block)
        if block.language == "sh":
            self._run_shell(block)
        elif block.language == "python":
            self._run_python(block)

    def _write(self, block: Block) -> None:
        path = self._folder / str(block.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)

    def _run_shell(self, block: Block) -> None:
        log = self._folder / ".state" / "block.log"
        with log.open("wb") as file:
            shell = subprocess.Popen(
                ["sh", "-eu", "-c", block.text],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        try:
            code: object = shell.wait(BLOCK_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
            code = f"nothing within {BLOCK_TIMEOUT_S:g} s"
        if code:
            raise PageFailure(f"{block} ended with {code}:\n{block.text}\n{log.read_text(errors='replace')}")

    def _run_python(self, block: Block) -> None:
        if block.path:
            request: dict[str, object] = {"import": ".".join(Path(block.path).with_suffix("").parts)}
        else:
            request = {"text": block.text, "page": block.page, "line": block.line}
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        self._python.stdin.write(json.dumps(request) + "\n")
        self._python.stdin.flush()
        answer = self._python.stdout.readline()
        error = json.loads(answer)["error"] if answer else "the process of the page's Python blocks has ended"
        if error:
            raise PageFailure(f"{block} failed:\n{error}")


@contextmanager
def page_run(
    folder: Path, *, project: Path, site_url: str = "", variables: Mapping[str, str] | None = None
) -> Iterator[PageRun]:
    """Yield what runs a page; whatever it started is ended after the block, and must end well.

    Args:
        folder: Is made, and begins as a copy of the project.
        project: What the page begins with.
        site_url: URL of the Redis of the site that is up.
        variables: Settings that let programs find that site; without them the page has a data folder of its own.
    """
    shutil.copytree(project, folder, symlinks=True)
    state = folder / ".state"
    state.mkdir()
    path = os.pathsep.join([str(page_commands.install(state)), str(page_commands.VENV), os.environ["PATH"]])
    # The plugin of this checkout, whatever is installed.
    plugin = "-p no:stepline -p producer.pytest_plugin -p no:cacheprovider"
    # Sites that a page starts do without Flower: its port is taken. Its start takes as long as that of three workers.
    taken = socket.create_server(("127.0.0.1", 0))
    own = {"STEPLINE_DATA_DIR": str(folder / "data"), "STEPLINE_FLOWER_PORT": str(taken.getsockname()[1])}
    environment = {
        **untraced(clean_environment(**own)),
        **(variables or {}),
        "PATH": path,
        "PAGE_STATE": str(state),
        "PAGE_OWNER": str(os.getpid()),
        "PAGE_SITE_URL": site_url,
        "PYTEST_ADDOPTS": plugin,
    }
    program = [sys.executable, "-W", "error", "-m", "tests.support.page_process"]
    python = subprocess.Popen(
        program, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        with python:
            yield PageRun(folder, environment, python)
    finally:
        python.kill()
        taken.close()
        troubles = page_commands.end_all(state)
    if troubles:
        raise PageFailure("; ".join(troubles))
