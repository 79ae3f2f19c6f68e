"""Steps to plan with, and short ways to a batch and a plan."""

from collections.abc import Iterable, Mapping
from typing import Any

from config.settings import Settings
from producer.planning.batch import Batch, parse_batch
from producer.planning.plan import Plan
from producer.planning.planner import make_plan
from steps.classifier import StepClassifier
from steps.decorator import step
from steps.definition import StepFacts
from steps.errors import InvalidBatch
from steps.registry import StepRegistry

SETTINGS = Settings()
CLASSIFIER = StepClassifier()


with StepRegistry().isolated() as registry:

    @step
    def GetStep() -> None: ...

    @step
    def ReadFileStep(path: str, depth: int = 1) -> None: ...

    @step
    def CreateStep() -> None: ...

    @step(lane="session:{session_id}")
    def CreateChatStep(session_id: str, title: str = "new") -> None: ...

    @step(lane="title:{title}", critical=True)
    def RetitleStep(title: str = "new") -> None: ...

    @step(critical=True, idempotent=True, timeout=5)
    def UpsertStep() -> None: ...

    @step(critical=False, retries=3, backoff="fixed", delay=2.0, timeout=7)
    def PatientStep() -> None: ...

    @step(critical=False, queue="critical")
    def LonelyReadStep() -> None: ...

    @step(critical=True, queue="parallel")
    def MisroutedStep() -> None: ...

    @step(queue="nowhere")
    def LostStep() -> None: ...

    DEFINITIONS = {one.name: one for one in registry if one.module == __name__}


def nearest(name: str) -> list[str]:
    return ["GetStep"] if name.startswith("Ge") else []


def plan_batch(batch: Batch, *, settings: Settings = SETTINGS, facts: Mapping[str, StepFacts] | None = None) -> Plan:
    """Plan with the code of `DEFINITIONS`, or with facts alone."""
    return make_plan(
        batch,
        find_facts=(facts or {}).get,
        find_definition=lambda name: None if facts else DEFINITIONS.get(name),
        nearest=nearest,
        classifier=CLASSIFIER,
        settings=settings,
    )


def plan(
    steps: Iterable[Any],
    *,
    settings: Settings = SETTINGS,
    facts: Mapping[str, StepFacts] | None = None,
    **options: Any,
) -> Plan:
    return plan_batch(parse_batch(steps, settings=settings, **options), settings=settings, facts=facts)


def refused(steps: Iterable[Any], **options: Any) -> InvalidBatch:
    """Return the error of a batch that must be refused."""
    try:
        made = plan(steps, **options)
    except InvalidBatch as error:
        return error
    raise AssertionError(f"was planned: {made}")


def problems(steps: Iterable[Any], **options: Any) -> dict[str, str]:
    """Return what is wrong with a batch that must be refused, by path; no path may stand there twice."""
    found = refused(steps, **options).problems
    by_path = {problem.path: problem.message for problem in found}
    assert len(by_path) == len(found), found
    return by_path
