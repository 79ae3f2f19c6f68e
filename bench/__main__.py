"""Starts the benchmark: ``python -m bench``."""

import json
import sys
from collections.abc import Sequence
from typing import Any, Final

from bench.options import Options
from bench.readings import Readings, as_document
from bench.report import report
from bench.rounds import run_rounds
from bench.targets import Verdict, judge
from config.errors import SteplineError
from producer.cli.interrupts import Interrupts

MISSED: Final = 1
BROKE: Final = 3
INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the report, and return the exit code."""
    options = Options.parse(arguments)
    try:
        with Interrupts():
            readings = run_rounds(options)
    except KeyboardInterrupt:
        print("interrupted; everything that was started is stopped", file=sys.stderr)
        return INTERRUPTED
    except SteplineError as error:
        print(f"bench: {error}", file=sys.stderr)
        return BROKE
    verdicts = judge(readings)
    print(report(readings, verdicts, options), end="")
    if options.json is not None:
        options.json.write_text(json.dumps(_document(readings, verdicts), indent=1) + "\n")
    return MISSED if options.is_judged and not all(verdict.is_met for verdict in verdicts) else 0


def _document(readings: Readings, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    targets = [{"is_met": verdict.is_met, "said": verdict.said} for verdict in verdicts]
    return {"targets": targets, **as_document(readings)}


if __name__ == "__main__":
    sys.exit(main())
