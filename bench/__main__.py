"""Starts the benchmark: ``python -m bench``."""

import json
import sys
from collections.abc import Sequence
from typing import Any, Final

from bench.code_tree import CannotCompare
from bench.comparison import compare
from bench.options import Options
from bench.readings import Readings, as_document
from bench.report import report
from bench.rounds import run_rounds
from bench.targets import Verdict, judge
from config.errors import SteplineError
from producer.cli.interrupts import Interrupts

MISSED: Final = 1
WRONG_USAGE: Final = 2
BROKE: Final = 3
INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the report, and return the exit code."""
    options = Options.parse(arguments)
    try:
        with Interrupts():
            said, document, is_met = _measure(options) if options.compare is None else compare(options.compare, options)
    except KeyboardInterrupt:
        print("interrupted; everything that was started is stopped", file=sys.stderr)
        return INTERRUPTED
    except SteplineError as error:
        print(f"bench: {error}", file=sys.stderr)
        return WRONG_USAGE if isinstance(error, CannotCompare) else BROKE
    print(said, end="")
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return MISSED if options.is_judged and not is_met else 0


def _measure(options: Options) -> tuple[str, dict[str, Any], bool]:
    """Measure beside plain Celery; return the report, the document, and whether the targets are met."""
    readings = run_rounds(options)
    verdicts = judge(readings)
    is_met = all(verdict.is_met for verdict in verdicts)
    return report(readings, verdicts, options), _document(readings, verdicts), is_met


def _document(readings: Readings, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    targets = [{"is_met": verdict.is_met, "said": verdict.said} for verdict in verdicts]
    return {"targets": targets, **as_document(readings)}


if __name__ == "__main__":
    sys.exit(main())
