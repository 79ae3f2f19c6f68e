"""``stepline status``: how one run stands."""

import argparse

from producer.cli.failures import NOT_OK
from producer.cli.output import emit_json
from producer.cli.site_access import producer_of_site
from producer.cli.status_text import print_status


def execute(options: argparse.Namespace) -> int:
    """Print the status of a run; an id that no run has is a status too, ``not_found``, with exit code 1."""
    with producer_of_site() as producer:
        status = producer.status(options.run_id)
    if options.json:
        emit_json(status.as_dict())
    else:
        print_status(status)
    return NOT_OK if status.state == "not_found" else 0
