"""What ``stepline run``, ``submit`` or ``plan`` was asked for, as a batch: a file, or names with their params."""

import argparse
import os
from pathlib import Path
from typing import Any, Final

from config.settings import Settings
from producer.cli.failures import UsageError
from producer.planning.batch import Batch, parse_batch
from producer.planning.batch_calls import StepSpec
from producer.planning.batch_file import JSON_SUFFIX, YAML_SUFFIXES, read_batch_file
from producer.planning.plan import Plan
from producer.planning.planner import make_plan
from steps.classifier import classifier_of
from steps.registry import StepRegistry

BATCH_SUFFIXES: Final = (JSON_SUFFIX, *YAML_SUFFIXES)

_OVERRIDES: Final = (
    "context",
    "deadline",
    "mode",
    "order",
    "strategy",
    "lane",
    "name",
    "priority",
    "after",
    "idempotency_key",
    "supersede",
    "queue_timeout",
)
"""Options that replace what a batch file says, under the same names."""


def read_request(options: argparse.Namespace, settings: Settings) -> Batch:
    """Return the batch that the options ask for.

    Raises:
        UsageError: The options do not go together.
        InvalidBatch: The file cannot be read.
    """
    overrides: dict[str, Any] = {name: getattr(options, name) for name in _OVERRIDES}
    files = [what for what in options.what if _is_file(what)]
    if not files:
        return parse_batch(_calls(options.what, options.params), settings=settings, **overrides)
    if len(options.what) > 1:
        raise UsageError(f"give one batch file or names of steps, not {files[0]} with others")
    if options.params:
        raise UsageError("--params goes with names of steps; in a batch file, params stand with each step")
    return read_batch_file(Path(files[0]), settings=settings, **overrides)


def plan_here(batch: Batch, settings: Settings) -> Plan:
    """Return what a batch would become on a site started from here: its workers know the steps of this process.

    Raises:
        InvalidBatch: With all that is wrong.
    """
    registry = StepRegistry()
    return make_plan(
        batch,
        find_facts=lambda name: None,
        find_definition=registry.find,
        nearest=registry.nearest,
        classifier=classifier_of(settings),
        settings=settings,
    )


def _is_file(what: str) -> bool:
    return what.lower().endswith(BATCH_SUFFIXES) or os.sep in what


def _calls(names: list[str], given: list[tuple[str | None, dict[str, Any]]]) -> list[StepSpec]:
    params: dict[str, dict[str, Any]] = {}
    for name, values in given:
        if name is None and len(set(names)) > 1:
            raise UsageError("--params without a name goes with one step only; write NAME=JSON")
        target = names[0] if name is None else name
        if target not in names:
            raise UsageError(f"--params names {target!r}, which is not among the steps to run")
        if target in params:
            raise UsageError(f"--params for {target} is given twice")
        params[target] = values
    return [{"name": name, "params": params[name]} if name in params else name for name in names]
