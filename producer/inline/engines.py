"""The in-process engines: the same plan and the same attempts as on workers, with no broker."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, get_args

from config.choices import Strategy
from config.errors import SettingsError
from config.limits import CONCURRENCY_RANGE, DELAY_RANGE_S, RETRIES_RANGE, TIMEOUT_RANGE_S
from config.rules import load_rules
from config.settings import Settings, load_settings
from producer.inline.admission import active_executions
from producer.inline.execution import run_plan
from producer.planning.batch import read_batch
from producer.planning.batch_calls import StepSpec
from producer.planning.plan import Plan
from producer.planning.planner import make_plan
from producer.result import Result
from steps.classifier import StepClassifier
from steps.definition import StepDefinition
from steps.problem import Problem
from steps.registry import StepRegistry, load_step_modules

Values = Mapping[str, Any]

OF_OTHER_RUNS: Final = ("after", "idempotency_key", "supersede")
"""Options that say how a run stands to others, which are in a ledger."""

NO_RUNS_HERE: Final = "needs a site, whose ledger knows the runs: submit the batch with a Producer, or leave it out"

_registry: Final = StepRegistry()


def execute_steps(
    steps: Iterable[StepSpec],
    context: Values | None = None,
    options: Values | None = None,
    *,
    settings: Settings | None = None,
) -> Result:
    """Classify steps and run them here: critical ones one by one, the others side by side.

    Where no thread can be had for the latter, what is left runs one by one too; ``result.fallback`` says so.
    What a step declares for the whole site, ``max_running`` and ``rate``, does not hold here: no ledger counts it.

    Args:
        steps: Names, or objects ``{name, id, params, timeout, retries, critical, lane}``.
        context: What all of them may read.
        options: What else a batch may have: ``deadline`` (seconds), ``order``, ``strategy``, ``mode``,
            ``max_concurrency``, ``lane``, ``then``; also ``name`` and ``priority``, which say nothing here, where no
            other run waits. ``after`` is refused: there are no runs to wait for.
        settings: Those of the process if left out.

    Raises:
        InvalidBatch: Something in it is wrong; nothing was run.
        QueueFull: As many executions run in this process as are allowed; nothing was run.
    """
    return _execute(steps, context, options, settings or _settings_of_process())


class ParallelExecutionEngine:
    """Runs steps side by side in this process; a critical one among them is refused.

    Args:
        max_concurrency: How many of one execution run at once.
        timeout_s: How long one attempt may run, in seconds, where neither call nor step says.
        retries: Attempts after the first, where neither call nor step says.
        retry_delay_s: The wait after the first failure, in seconds, where the step says nothing.
        settings: For all else; those of the process if left out.

    Raises:
        SettingsError: A value is out of its range.
    """

    def __init__(
        self,
        *,
        max_concurrency: int = 10,
        timeout_s: float = 30.0,
        retries: int = 1,
        retry_delay_s: float = 1.0,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or _settings_of_process()
        self._settings = settings.model_copy(
            update={
                "max_concurrency": _checked("max_concurrency", max_concurrency, CONCURRENCY_RANGE),
                "step_timeout_s": _checked("timeout_s", timeout_s, TIMEOUT_RANGE_S),
                "retries": _checked("retries", retries, RETRIES_RANGE),
                "retry_delay_s": _checked("retry_delay_s", retry_delay_s, DELAY_RANGE_S),
                "retry_cap_s": max(settings.retry_cap_s, retry_delay_s),
            }
        )

    def execute(
        self, steps: Iterable[StepSpec], context: Values | None = None, options: Values | None = None
    ) -> Result:
        """Run the steps at once and return what became of each; as `execute_steps` does."""
        return _execute(steps, context, {**(options or {}), "mode": "parallel"}, self._settings)

    def metrics(self) -> dict[str, int]:
        """Return ``active_executions`` of this process and ``max_executions``."""
        return _metrics(self._settings)


class SequentialExecutionEngine:
    """Runs steps one after the other, in input order, in this process.

    Args:
        strategy: ``basic``: a failed critical step skips the critical ones after it; ``simple``: all are run.
        settings: For all else; those of the process if left out.

    Raises:
        SettingsError: There is no such strategy.
    """

    def __init__(self, *, strategy: Strategy = "basic", settings: Settings | None = None) -> None:
        if strategy not in get_args(Strategy):
            raise SettingsError(f"strategy must be {' or '.join(get_args(Strategy))}, not {strategy!r}")
        self._settings = (settings or _settings_of_process()).model_copy(update={"strategy": strategy})

    def execute(
        self, steps: Iterable[StepSpec], context: Values | None = None, options: Values | None = None
    ) -> Result:
        """Run the steps in order and return what became of each; as `execute_steps` does."""
        return _execute(steps, context, {**(options or {}), "mode": "sequential"}, self._settings)

    def metrics(self) -> dict[str, int]:
        """Return ``active_executions`` of this process and ``max_executions``."""
        return _metrics(self._settings)


def _execute(steps: Iterable[StepSpec], context: Values | None, options: Values | None, settings: Settings) -> Result:
    plan = plan_here(steps, context, options, settings)
    return run_plan(plan, find=_registry.get, settings=settings)


def plan_here(steps: Iterable[StepSpec], context: Values | None, options: Values | None, settings: Settings) -> Plan:
    """Return the plan of steps whose code is in this process; takes and raises what `execute_steps` does."""
    document = {**(options or {}), "steps": steps, "context": context}
    refused = [Problem(option, NO_RUNS_HERE) for option in OF_OTHER_RUNS if document.get(option)]
    return make_plan(
        read_batch(document, settings=settings, problems=refused),
        find_facts=lambda name: None,
        find_definition=lambda name: _find(name, settings.step_modules),
        nearest=_registry.nearest,
        classifier=_classifier(settings.unknown_is_critical, settings.rules_file),
        settings=settings,
    )


def _find(name: str, modules: tuple[str, ...]) -> StepDefinition | None:
    """Return a step's code; the modules of steps are imported when a name is not known without them."""
    definition = _registry.find(name)
    if definition is None:
        _load_once(modules)
        definition = _registry.find(name)
    return definition


def _checked(name: str, value: float, allowed: tuple[float, float]) -> float:
    kinds = int if isinstance(allowed[0], int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not allowed[0] <= value <= allowed[1]:
        raise SettingsError(f"{name} must be {allowed[0]:g} to {allowed[1]:g}, not {value!r}")
    return value


def _metrics(settings: Settings) -> dict[str, int]:
    return {"active_executions": active_executions(), "max_executions": settings.inline_executions}


@lru_cache(maxsize=1)
def _settings_of_process() -> Settings:
    return load_settings()


@lru_cache
def _classifier(unknown_is_critical: bool, rules_file: Path | None) -> StepClassifier:
    return StepClassifier(load_rules(rules_file), unknown_is_critical=unknown_is_critical)


@lru_cache
def _load_once(modules: tuple[str, ...]) -> None:
    load_step_modules(modules)
