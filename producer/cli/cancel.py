"""``stepline cancel``: what has not started never starts, what runs is stopped where it can be."""

import argparse

from producer.cli.output import emit_json
from producer.cli.site_access import producer_of_site
from producer.cli.status_text import print_status
from steps.errors import RunUnknown


def execute(options: argparse.Namespace) -> int:
    """Cancel a run and print how it stands then; one that is completed stays as it is.

    Raises:
        RunUnknown: There is no such run.
    """
    with producer_of_site() as producer:
        producer.cancel(options.run_id)
        status = producer.status(options.run_id)
    if status.state == "not_found":
        raise RunUnknown(options.run_id)
    if options.json:
        emit_json(status.as_dict())
    else:
        print_status(status)
    return 0
