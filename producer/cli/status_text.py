"""The status of a run in words."""

from collections.abc import Mapping
from typing import Final

from rich.text import Text

from producer.cli.tables import STYLES, print_facts, printable, terminal
from producer.cli.times import moment, span
from producer.run_status import RunStatus

PENDING: Final = "pending"

STATE_STYLES: Final = {
    "not_found": "red",
    "stopping": "yellow",
    "waiting": "yellow",
    "paused": "yellow",
    "running": "cyan",
}


def print_status(status: RunStatus) -> None:
    """Print all that is known of a run, one fact a line."""
    terminal().print(Text(printable(headline(status)), style=style_of(status)))
    print_facts(facts_of(status))


def headline(status: RunStatus) -> str:
    """Return the run, its name and its state: ``run 01.. (view 42): completed, not ok``."""
    name = f" ({status.name})" if status.name else ""
    verdict = {True: ", ok", False: ", not ok", None: ""}[status.ok]
    return f"run {status.run_id}{name}: {status.state.replace('_', ' ')}{verdict}"


def facts_of(status: RunStatus) -> list[tuple[str, str]]:
    """Return what there is to say below the headline, by name."""
    if status.state == "not_found":
        return [("reason", "the id is wrong, or its result has expired (STEPLINE_RESULT_TTL_S)")]
    facts = [
        ("steps", f"{status.total}: {counts_text(status.counts)}"),
        ("submitted", moment(status.submitted_ms)),
        ("started", moment(status.started_ms)),
        ("completed", moment(status.settled_ms)),
        ("took" if status.settled_ms else "so far", span(status.duration_ms)),
        ("mode", f"{status.mode}, strategy {status.strategy}, priority {status.priority}"),
    ]
    facts += [("after", run_id) for run_id in status.after]
    facts += [("waits for", sentence) for sentence in status.waits_for]
    if status.rolled_back:
        facts.append(("rolled back", "Redis came back with older data while it was open; steps may have run twice"))
    return [(name, value) for name, value in facts if value != "-"]


def counts_text(counts: Mapping[str, int]) -> str:
    """Return counts in words without the zeros, ``7 succeeded, 1 timed out``; a dash where there is nothing else."""
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count) or "-"


def style_of(status: RunStatus) -> str:
    """Return the style of a run's line."""
    if status.ok is not None:
        return STYLES["succeeded" if status.ok else "failed"]
    return STATE_STYLES.get(status.state, "")
