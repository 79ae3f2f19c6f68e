"""``stepline queues``: what waits and runs where, and who works on it; ``clear`` cancels what waits."""

import argparse

from producer.cli.consent import has_consent
from producer.cli.failures import NOT_OK, UsageError
from producer.cli.output import emit_json, say
from producer.cli.queues_text import print_queues
from producer.cli.site_access import producer_of_site


def execute(options: argparse.Namespace) -> int:
    """Print the queues, workers and lanes of the site, or clear a queue."""
    if options.action is None:
        return _show(as_json=options.json)
    if options.queue is None:
        raise UsageError("name the queue: stepline queues clear NAME")
    return _clear(options)


def _show(*, as_json: bool) -> int:
    with producer_of_site() as producer:
        queues = producer.queues()
    if as_json:
        emit_json(queues.as_dict())
    else:
        print_queues(queues)
    return 0


def _clear(options: argparse.Namespace) -> int:
    with producer_of_site() as producer:
        producer.settings.queue(options.queue)  # Before anybody is asked.
        if not has_consent(options, f"cancel all steps in queue {options.queue} that have not started?"):
            say("nothing was cancelled")
            return NOT_OK
        cancelled = producer.clear_queue(options.queue)
    if options.json:
        emit_json({"queue": options.queue, "cancelled": cancelled})
    else:
        say(f"{cancelled} steps cancelled in queue {options.queue}; what runs, runs on")
    return 0
