"""Structured logs of a worker: one line an event, with run, step and attempt where there is one."""

import json
import logging
import sys
import time
from typing import Final

from billiard import util

from config.settings import Settings

STEP_FIELDS: Final = ("run", "step", "attempt")

QUIET: Final = ("amqp", "celery.redirected", "celery.worker.strategy", "celery.app.trace", "kombu")
"""Loggers that speak of messages, which are only hints; their warnings are kept."""


class JsonLines(logging.Formatter):
    """A record as one JSON object: time, level, logger, process, message and the step it is about."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "at": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        line |= {name: value for name in STEP_FIELDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """A record as a line for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s [%(process)d] %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the step it is about at its end."""
        about = [f"{name}={value}" for name in STEP_FIELDS if (value := getattr(record, name, None)) is not None]
        return " ".join([super().format(record), *about])


def set_up_logging(settings: Settings) -> None:
    """Send the logs of this process to stderr as the settings say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    logging.captureWarnings(True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def keep_to_own_logging(**_: object) -> None:
    """Take the place of Celery's logging set-up, which would write the deaths of children in a form of its own."""
    pool = util.get_logger()
    pool.setLevel(logging.ERROR)
    pool.propagate = True
