"""``stepline runs``: the runs of the site, newest first."""

import argparse
from typing import Final

from producer.cli.output import emit_json, say
from producer.cli.site_access import producer_of_site
from producer.cli.status_text import PENDING, counts_text, style_of
from producer.cli.tables import is_roomy, print_table
from producer.cli.times import moment, span
from producer.run_status import RunStatus

HEADS: Final = ("run", "name", "state", "steps", "not ok", "took", "submitted")
"""The last of them only where there is room."""


def execute(options: argparse.Namespace) -> int:
    """Print the runs that the options let through."""
    with producer_of_site() as producer:
        found = producer.runs(
            state=options.state,
            name=options.name,
            since_s=options.since,
            ok=False if options.failed else None,
            limit=options.limit,
        )
    if options.json:
        emit_json([status.as_dict() for status in found])
    elif found:
        _print(found)
    else:
        say("no such runs" if _has_filters(options) else "no runs yet")
    return 0


def _print(found: list[RunStatus]) -> None:
    shown = len(HEADS) if is_roomy() else len(HEADS) - 1
    rows = [row(status)[:shown] for status in found]
    print_table(HEADS[:shown], rows, styles=[style_of(status) for status in found])


def row(status: RunStatus) -> tuple[str, ...]:
    """Return the cells of a run, for `HEADS`."""
    done = status.total - status.counts[PENDING]
    bad = {name: count for name, count in status.counts.items() if name not in (PENDING, "succeeded")}
    return (
        status.run_id,
        status.name or "-",
        status.state,
        f"{done}/{status.total}",
        counts_text(bad),
        span(status.duration_ms),
        moment(status.submitted_ms),
    )


def _has_filters(options: argparse.Namespace) -> bool:
    return bool(options.state or options.name or options.since or options.failed)
