"""Starts one worker: ``python -m workers --queue NAME``."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from config.errors import SteplineError
from config.settings import load_settings
from workers.logs import set_up_logging
from workers.worker import Worker

BAD_USAGE: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker until it is told to stop; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers", description="Run one worker for one queue.")
    parser.add_argument("--queue", required=True, help="the queue to serve, one of the settings' queues")
    parser.add_argument("--drain", action="store_true", help="end, with code 0, once no step is pending on the queue")
    options = parser.parse_args(arguments)
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # appended: a user's folder must not shadow our packages
    try:
        settings = load_settings()
        set_up_logging(settings)
        queue = settings.queue(options.queue)
        if settings.redis_url is None:
            parser.error("STEPLINE_REDIS_URL is not set: a worker joins a Redis, `stepline up` starts one")
        worker = Worker(settings=settings, queue=queue, redis_url=settings.redis_url, until_empty=options.drain)
        return worker.run()
    except SteplineError as error:
        sys.stderr.write(f"worker: {error}\n")
        return BAD_USAGE


if __name__ == "__main__":
    sys.exit(main())
