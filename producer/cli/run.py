"""``stepline run``: one batch in, its settled result out."""

import argparse
from contextlib import closing

from config.errors import SteplineError
from config.settings import load_settings
from producer.cli.failures import NOT_OK, RunInterrupted, RunOutOfReach
from producer.cli.interrupts import Interrupts
from producer.cli.joining import joined_site
from producer.cli.output import emit_json
from producer.cli.progress import shown_progress
from producer.cli.project import load_project
from producer.cli.request import plan_here, read_request
from producer.cli.tables import print_outcomes, terminal
from producer.producer import Producer
from producer.result import Result
from producer.run import Run
from steps.errors import BrokerUnavailable


def execute(options: argparse.Namespace) -> int:
    """Submit what the options ask for, wait for it, show it; the exit code says whether all of it is ok."""
    settings = load_settings()
    load_project(settings)
    batch = read_request(options, settings)
    with (
        Interrupts() as interrupts,
        joined_site(settings, interrupts, before_start=lambda: plan_here(batch, settings)) as url,
        closing(Producer(settings=settings, redis_url=url)) as producer,
    ):
        result = _gather(producer.submit_batch(batch), options)
        if not options.json:
            _show(result)
    if options.json:  # Last of all: what goes wrong in stopping a site is a document of its own.
        emit_json(result.as_dict())
    return 0 if result.ok else NOT_OK


def _gather(run: Run, options: argparse.Namespace) -> Result:
    """Wait for the run and show how it goes; an interrupt cancels it first."""
    try:
        with shown_progress(run, lines=not options.json):
            return run.gather(timeout=options.timeout)
    except KeyboardInterrupt:
        raise RunInterrupted(run.id, cancelled=_cancel(run)) from None
    except BrokerUnavailable as error:
        raise RunOutOfReach(run.id, str(error)) from error


def _cancel(run: Run) -> bool:
    try:
        run.cancel()
    except SteplineError:
        return False
    return True


def _show(result: Result) -> None:
    print_outcomes(result.outcomes)
    succeeded = len(result.succeeded)
    verdict = "ok" if result.ok else "not ok"
    fallback = f", {result.fallback}" if result.fallback else ""
    terminal().print(
        f"{verdict}: {succeeded} of {len(result.outcomes)} succeeded in {result.total_ms:.1f} ms "
        f"({result.mode}{fallback}), run {result.run_id}",
        markup=False,
    )
