"""What the commands that steer a run share: do it, then print how the run stands."""

import argparse
from collections.abc import Callable

from producer.cli.output import emit_json
from producer.cli.site_access import producer_of_site
from producer.cli.status_text import print_status
from producer.producer import Producer
from steps.errors import RunUnknown


def steer(options: argparse.Namespace, act: Callable[[Producer], None]) -> int:
    """Act on the run of the options, print its status and return the exit code.

    Raises:
        RunUnknown: There is no such run.
    """
    with producer_of_site() as producer:
        act(producer)
        status = producer.status(options.run_id)
    if status.state == "not_found":
        raise RunUnknown(options.run_id)
    if options.json:
        emit_json(status.as_dict())
    else:
        print_status(status)
    return 0
