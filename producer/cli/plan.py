"""``stepline plan``: what a batch would become; nothing is written."""

import argparse
from contextlib import closing

from config.settings import Settings, load_settings
from producer.cli.output import emit_json, say
from producer.cli.plan_text import plan_document, print_plan
from producer.cli.project import load_project
from producer.cli.request import plan_here, read_request
from producer.launcher.embedded import find_site
from producer.planning.batch import Batch
from producer.planning.expectation import expected_ms
from producer.planning.plan import Plan
from producer.producer import Producer
from producer.site_statistics import expected_step_ms


def execute(options: argparse.Namespace) -> int:
    """Print the plan of a batch."""
    settings = load_settings()
    load_project(settings)
    plan, expected = _plan(read_request(options, settings), settings)
    if options.json:
        emit_json(plan_document(plan, expected))
    else:
        print_plan(plan, expected)
    return 0


def _plan(batch: Batch, settings: Settings) -> tuple[Plan, float]:
    """Return the plan and its expected time: by what a site knows, or what is registered here where none is up."""
    url = settings.redis_url or find_site(settings)
    if url is None:
        say("no site is up, so this is planned from what is registered here")
        plan = plan_here(batch, settings)
        return plan, expected_ms(plan, lambda name: expected_step_ms({}))
    with closing(Producer(settings, url)) as producer:
        plan = producer.plan(batch)
        return plan, producer.expected_ms(plan)
