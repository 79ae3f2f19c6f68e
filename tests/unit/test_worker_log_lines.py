"""What a line of a worker's log says, and of which step."""

import json
import logging
import sys

from workers.logs import JsonLines, TextLines


def record_of(message: str, *arguments: object, **more: object) -> logging.LogRecord:
    record = logging.LogRecord("workers.stages", logging.WARNING, "stages.py", 7, message, arguments, None)
    for name, value in more.items():
        setattr(record, name, value)
    return record


def test_a_line_is_one_object_with_the_step_it_is_about() -> None:
    record = record_of(
        "step %s\nfailed: %s", "GetStep", "ä", run="r", step="GetStep_2", attempt=3, created=1.5, msecs=500
    )
    text = JsonLines().format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert line.pop("pid") == record.process
    assert line == {
        "at": "1970-01-01T00:00:01.500Z",
        "level": "WARNING",
        "logger": "workers.stages",
        "message": "step GetStep\nfailed: ä",
        "run": "r",
        "step": "GetStep_2",
        "attempt": 3,
    }


def test_a_line_about_no_step_names_none() -> None:
    assert not {"run", "step", "attempt"} & json.loads(JsonLines().format(record_of("ready"))).keys()


def test_an_exception_stands_in_the_same_line() -> None:
    try:
        raise ValueError("no luck")
    except ValueError:
        text = JsonLines().format(record_of("broke", exc_info=sys.exc_info()))
    assert "\n" not in text
    assert "ValueError: no luck" in json.loads(text)["exception"]


def test_a_line_for_people_ends_with_the_step_it_is_about() -> None:
    text = TextLines().format(record_of("failed", run="r", step="GetStep", attempt=0))
    assert text.endswith("failed run=r step=GetStep attempt=0")
    assert TextLines().format(record_of("ready")).endswith(" ready")
