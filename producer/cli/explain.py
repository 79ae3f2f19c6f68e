"""``stepline explain``: which class each name has, and by which rule; needs no broker."""

import argparse

from config.settings import load_settings
from producer.cli.output import emit_json
from producer.cli.project import load_project
from producer.cli.tables import print_table
from steps.classifier import Decision, classifier_of
from steps.definition import StepFacts
from steps.registry import StepRegistry


def execute(options: argparse.Namespace) -> int:
    """Print the decision on each name, in the order given."""
    settings = load_settings()
    load_project(settings)
    decisions = classifier_of(settings).classify_steps(options.names, options.context, facts=_facts).decisions
    if options.json:
        emit_json([as_json(decision) for decision in decisions])
    else:
        rows = [(d.name, "critical" if d.critical else "non-critical", d.rule, d.reason) for d in decisions]
        print_table(("name", "class", "rule", "reason"), rows)
    return 0


def as_json(decision: Decision) -> dict[str, object]:
    """Return a decision with the keys that ``--json`` promises."""
    return {
        "name": decision.name,
        "critical": decision.critical,
        "reason": decision.reason,
        "rule": decision.rule,
    }


def _facts(name: str) -> StepFacts | None:
    definition = StepRegistry().find(name)
    return None if definition is None else definition.facts()
