"""Runs a whole plan in this process, with no broker, and falls back to one step after the other."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Final
from uuid import uuid4

from config.settings import Settings
from producer.inline.admission import admitted
from producer.inline.conductor import Conductor
from producer.inline.inline_run import Group, InlineRun
from producer.planning.plan import Plan, PlannedStep
from producer.result import Result
from steps.attempt import Settle, ValueLimits
from steps.definition import StepDefinition
from steps.failure import error_of
from steps.outcome import Outcome
from steps.side_by_side import SideBySide
from steps.step_loop import StepLoop, is_on_step_loop
from steps.step_threads import StepThreads, shared_threads

logger: Final = logging.getLogger(__name__)

FALLBACK_IDLE_S: Final = 1.0
"""How long the thread of a fallback waits for the next step, in seconds: there may be no other to be had."""

Side = Callable[[], SideBySide]


def run_plan(
    plan: Plan,
    *,
    find: Callable[[str], StepDefinition],
    settings: Settings,
    run_id: str | None = None,
    fallback: str | None = None,
    make_side: Side = SideBySide,
) -> Result:
    """Run a plan here and return what became of it.

    If no thread or loop can be had for steps that run side by side, what is left runs one after the other on
    a thread of its own, and the result's ``fallback`` says so.

    Args:
        plan: What to run; every step's code must be in this process.
        find: Returns the code of a step.
        settings: Whose limits hold.
        run_id: The run's id; made up if left out.
        fallback: Why it runs here at all, if it was meant to run elsewhere.
        make_side: Makes what attempts run on; by default on the threads and the loop of the process.

    Raises:
        ExecutionsFull: As many executions run in this process as are allowed; nothing was run.
    """
    limits = ValueLimits(settings.max_value_bytes, settings.max_depth)
    with admitted(settings.inline_executions), _side_for_here(make_side) as side:
        run = InlineRun(plan, find, run_id or f"inline-{uuid4().hex}")
        run.fallback = fallback
        _conduct(run, _phases(run), plan.steps, run.deadline, side, limits)
        result = run.result()
        if plan.then is not None:
            _conduct(run, [[run.group([plan.then])]], [plan.then], inf, side, limits)
            _report(run, run.outcome(plan.then))
        return result


def _phases(run: InlineRun) -> Iterator[list[Group]]:
    """Yield the groups that run side by side, one after the other."""
    plan = run.plan
    in_lanes = [step for step in plan.steps if step.sequential]
    others = [step for step in plan.steps if not step.sequential]
    if plan.order == "overlap":
        yield [run.group(in_lanes), run.group(others, limit=plan.max_concurrency)]
        return
    yield [run.group(in_lanes)]
    yield [run.group(others, limit=plan.max_concurrency)]


def _conduct(
    run: InlineRun,
    phases: Iterable[list[Group]],
    steps: Sequence[PlannedStep],
    deadline: float,
    side: SideBySide,
    limits: ValueLimits,
) -> None:
    """Run the phases, or where that breaks what is left of the steps, until all of them have settled."""
    try:
        for groups in phases:
            _conduct_phase(Conductor(run, side, limits), groups, deadline)
    except RuntimeError as error:
        broken = f"the steps left ran one after the other, as side by side broke: {error}"
        run.fallback = broken if run.fallback is None else f"{run.fallback}; {broken}"
        logger.warning("run %s: %s", run.run_id, broken)
        _conduct_rest(run, steps, deadline, limits)


def _conduct_phase(conductor: Conductor, groups: list[Group], deadline: float) -> None:
    """Run the groups; whatever ends this, a time-out of the calling step included, leaves nothing running."""
    try:
        conductor.conduct(groups, deadline)
    except BaseException as error:
        conductor.abandon(f"the execution ended with {type(error).__name__}: {error}")
        raise


def _conduct_rest(run: InlineRun, steps: Sequence[PlannedStep], deadline: float, limits: ValueLimits) -> None:
    loop = StepLoop()
    side = SideBySide(StepThreads(idle_s=FALLBACK_IDLE_S), loop)
    try:
        _conduct_phase(Conductor(run, side, limits), [run.group(steps)], deadline)
    except RuntimeError as error:
        run.settle_rest(steps, Settle("cancelled", error=error_of(error)))
    finally:
        loop.close()


def _report(run: InlineRun, body: Outcome) -> None:
    """Log a completion body that did not succeed: its outcome is not part of the result."""
    if not body.ok:
        logger.warning("run %s: its completion body %s: %s", run.run_id, body.status, body.error)


@contextmanager
def _side_for_here(make_side: Side) -> Iterator[SideBySide]:
    """Yield what attempts run on: for a caller on the step loop one with another loop, as that one waits."""
    if not is_on_step_loop():
        yield make_side()
        return
    loop = StepLoop()
    try:
        yield SideBySide(shared_threads(), loop)
    finally:
        loop.close()
