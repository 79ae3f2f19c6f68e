"""``stepline purge``: forgets completed runs before their results expire."""

import argparse

from producer.cli.consent import has_consent
from producer.cli.failures import NOT_OK
from producer.cli.output import emit_json, say
from producer.cli.site_access import producer_of_site
from producer.cli.times import span


def execute(options: argparse.Namespace) -> int:
    """Forget the runs and say how many they were."""
    age = f" completed over {span(options.older_than * 1000)} ago" if options.older_than else " that are completed"
    if not has_consent(options, f"forget all runs{age}, with their results?"):
        say("nothing was forgotten")
        return NOT_OK
    with producer_of_site() as producer:
        forgotten = producer.purge(older_than_s=options.older_than)
    if options.json:
        emit_json({"forgotten": forgotten})
    else:
        say(f"{forgotten} runs forgotten")
    return 0
