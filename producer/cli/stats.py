"""``stepline stats``: what the site has executed so far."""

import argparse

from producer.cli.output import emit_json
from producer.cli.site_access import producer_of_site
from producer.cli.stats_text import print_statistics


def execute(options: argparse.Namespace) -> int:
    """Print the statistics of the whole site."""
    with producer_of_site() as producer:
        statistics = producer.stats()
    if options.json:
        emit_json(statistics.as_dict())
    else:
        print_statistics(statistics)
    return 0
