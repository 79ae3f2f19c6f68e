"""``stepline steps``: the steps that are registered here, and those that the workers of the site know."""

import argparse
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final

from config.settings import Settings, load_settings
from producer.cli.output import emit_json, say
from producer.cli.project import load_project
from producer.cli.tables import print_table
from producer.launcher.embedded import find_site
from producer.producer import Producer
from steps.definition import StepFacts
from steps.registry import StepRegistry

HEADS: Final = ("name", "class", "queue", "lane", "timeout", "retries", "known")


def execute(options: argparse.Namespace) -> int:
    """Print every known step, by name."""
    settings = load_settings()
    load_project(settings)
    here = {definition.name: definition.facts() for definition in StepRegistry()}
    on_workers = _known_to_workers(settings)
    entries = [entry(name, here, on_workers) for name in sorted({*here, *on_workers})]
    if options.json:
        emit_json(entries)
    else:
        print_table(HEADS, [_row(one) for one in entries])
    return 0


def _known_to_workers(settings: Settings) -> Mapping[str, StepFacts]:
    url = settings.redis_url or find_site(settings)
    if url is None:
        say("no site is up, so only what is registered here is listed")
        return {}
    with closing(Producer(settings=settings, redis_url=url)) as producer:
        return producer.known_steps()


def entry(name: str, here: Mapping[str, StepFacts], on_workers: Mapping[str, StepFacts]) -> dict[str, Any]:
    """Return what ``--json`` promises of a step that is known here, on workers, or both."""
    facts = here.get(name) or on_workers[name]
    return {
        "name": name,
        "critical": facts.critical,
        "lane": facts.lane,
        "queue": facts.queue,
        "timeout_s": facts.timeout_s,
        "retries": facts.retries,
        "idempotent": facts.idempotent,
        "registered": name in here,
        "on_workers": name in on_workers,
        "schema": facts.schema,
    }


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    kinds = {True: "critical", False: "non-critical", None: "by rule"}
    known = [where for where, is_known in (("here", one["registered"]), ("workers", one["on_workers"])) if is_known]
    return (
        one["name"],
        kinds[one["critical"]],
        one["queue"] or "by class",
        one["lane"] or "-",
        "default" if one["timeout_s"] is None else f"{one['timeout_s']:g} s",
        "default" if one["retries"] is None else str(one["retries"]),
        " and ".join(known),
    )
