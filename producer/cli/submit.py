"""``stepline submit``: hands a batch to the site that is up and does not wait."""

import argparse
import sys

from producer.cli.output import emit_json
from producer.cli.project import load_project
from producer.cli.request import read_request
from producer.cli.site_access import producer_of_site


def execute(options: argparse.Namespace) -> int:
    """Submit what the options ask for and print the id of its run."""
    with producer_of_site() as producer:
        load_project(producer.settings)
        batch = read_request(options, producer.settings)
        run = producer.submit_batch(batch)
    if options.json:
        emit_json({"run_id": run.id, "total_steps": run.total_steps, "name": batch.name})
    else:
        sys.stdout.write(f"{run.id}\n")
    return 0
