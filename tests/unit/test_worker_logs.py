"""The logs of a worker: every line of them in one form, those of its pool and Python's warnings too."""

import json
import logging
import warnings
from collections.abc import Iterator

import pytest
from billiard import util

from config.settings import load_settings
from workers.logs import keep_to_own_logging, set_up_logging


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root, pool = logging.getLogger(), util.get_logger()
    before = (root.handlers[:], root.level, pool.level, pool.propagate)
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level, pool.level, pool.propagate = before


def test_what_the_pool_and_python_have_to_say_are_objects_of_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(load_settings({}))
    keep_to_own_logging()
    util.get_logger().error("a child\nhas died")
    util.get_logger().info("not worth a line")
    warnings.showwarning("take care", UserWarning, "steps.py", 7)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("multiprocessing", "ERROR"),
        ("py.warnings", "WARNING"),
    ]
    assert lines[0]["message"] == "a child\nhas died"
    assert "take care" in lines[1]["message"]
