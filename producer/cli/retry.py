"""``stepline retry``: a new run of what did not succeed in one that is completed."""

import argparse
import sys

from producer.cli.output import emit_json
from producer.cli.site_access import producer_of_site


def execute(options: argparse.Namespace) -> int:
    """Submit the new run and print its id."""
    with producer_of_site() as producer:
        run = producer.retry(options.run_id)
    if options.json:
        emit_json({"run_id": run.id, "total_steps": run.total_steps, "retry_of": options.run_id})
    else:
        sys.stdout.write(f"{run.id}\n")
    return 0
