"""The demo, ``python -m examples.view_switch``: both views, on a site that it starts and stops."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from config.errors import SteplineError
from config.settings import load_settings
from examples.view_switch import data
from examples.view_switch.checkout import environment_without_git, usable_checkout
from examples.view_switch.show import show
from examples.view_switch.views import SESSION, VIEWS, Comparison, View, compare
from producer import Producer
from producer.cli.failures import exit_code, report
from producer.cli.interrupts import Interrupts
from producer.cli.live import live_workers_by
from producer.launcher.supervisor import Site
from steps.registry import load_step_modules

STEP_MODULES: Final = ("examples.view_switch.steps", "examples.view_switch.ten_sleeps")

ROOT: Final = Path(__file__).resolve().parents[2]
"""The checkout of Stepline: the workers find the examples from here."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns 0 when every step of every run was ok, else what ``stepline run`` would."""
    options = _parser().parse_args(arguments)
    try:
        with Interrupts() as interrupts, tempfile.TemporaryDirectory(prefix="stepline-") as folder:
            comparisons = _compare_all(Path(folder), options, interrupts)
    except (SteplineError, OSError, KeyboardInterrupt) as error:
        report(error, as_json=options.json)
        return exit_code(error)
    if options.json:
        print(json.dumps({"views": [comparison.as_dict() for comparison in comparisons]}))
    return 0 if all(comparison.ok for comparison in comparisons) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.view_switch", description=__doc__)
    parser.add_argument(
        "--checkout", type=Path, default=Path(), metavar="DIR", help="git checkout that is read (this folder)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    return parser


def _compare_all(folder: Path, options: argparse.Namespace, interrupts: Interrupts) -> list[Comparison]:
    database = folder / "chat.sqlite"
    data.create(database, SESSION)
    checkout, reason = usable_checkout(options.checkout, folder)
    if reason is not None:
        _say(f"{options.checkout.resolve()} is not used as a checkout ({reason}); the demo made a small one")
    _say(f"{data.MESSAGES:,} chat messages in SQLite, git checkout {checkout}; starting Redis and two workers")
    environment = _environment(os.environ, folder / "site")
    settings = load_settings(environment)
    load_step_modules(settings.step_modules)
    site = Site(settings, live_workers=live_workers_by(settings), env=environment, cwd=ROOT, log_dir=folder / "logs")
    try:
        site.start()
        with closing(Producer(settings=settings, redis_url=site.url)) as producer:
            return [_compare_and_show(producer, view, database, checkout, as_json=options.json) for view in VIEWS]
    finally:
        interrupts.disarm()
        site.stop()
        _say("stopped everything")


def _compare_and_show(producer: Producer, view: View, database: Path, checkout: Path, *, as_json: bool) -> Comparison:
    comparison = compare(producer, view, database=database, checkout=checkout)
    if not as_json:
        show(comparison)
    return comparison


def _environment(environ: Mapping[str, str], data_dir: Path) -> dict[str, str]:
    """Return an environment in which the demo depends on no settings of the user's."""
    kept = {name: value for name, value in environment_without_git(environ).items() if not name.startswith("STEPLINE_")}
    return {**kept, "STEPLINE_DATA_DIR": str(data_dir), "STEPLINE_STEP_MODULES": ",".join(STEP_MODULES)}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
