"""``stepline events``: what happened in a run, a line each."""

import argparse
import json
import sys

from producer.cli.site_access import producer_of_site
from producer.cli.tables import printable
from producer.cli.times import precise_moment
from producer.events import Event


def execute(options: argparse.Namespace) -> int:
    """Print the events of a run, oldest first; with ``--follow`` until it is completed."""
    with producer_of_site() as producer:
        for event in producer.attach(options.run_id).events(follow=options.follow):
            text = json.dumps(event.as_dict()) if options.json else line(event)
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()  # Somebody watches, or reads from a pipe.
    return 0


def line(event: Event) -> str:
    """Return an event as people read it: ``12:00:01.250 step.started GetChatStep on parallel-1, attempt 2``."""
    parts = [precise_moment(event.at_ms), f"{event.event:<14}"]
    if event.step:
        parts.append(event.step if event.name in (None, event.step) else f"{event.step} ({event.name})")
    details = [
        f"on {event.worker}" if event.worker else "",
        f"attempt {event.attempt}" if event.attempt and event.attempt > 1 else "",
        event.status or "",
    ]
    told = ", ".join(detail for detail in details if detail)
    return printable(" ".join([*parts, told]).rstrip())
