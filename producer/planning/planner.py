"""From a batch to a plan: checked, classified, placed and ordered, or everything wrong with it at once."""

from collections.abc import Callable, Sequence

from config.choices import Mode
from config.priorities import run_priority
from config.settings import Settings
from producer.planning.arrange import ledger_sequence, pack
from producer.planning.batch import Batch
from producer.planning.batch_calls import BatchCall
from producer.planning.known_steps import Catalogue
from producer.planning.placement import Place, Placement
from producer.planning.plan import Plan, PlannedStep
from producer.planning.refusal import Refusal
from producer.planning.step_limits import StepLimits
from steps.call import StepCall
from steps.classifier import Classification, Decision, StepClassifier
from steps.definition import StepDefinition, StepFacts
from steps.json_value import utf8_size


def make_plan(
    batch: Batch,
    *,
    find_facts: Callable[[str], StepFacts | None],
    find_definition: Callable[[str], StepDefinition | None],
    nearest: Callable[[str], Sequence[str]],
    classifier: StepClassifier,
    settings: Settings,
) -> Plan:
    """Return the plan of a batch; nothing is written anywhere.

    Args:
        batch: As it was read.
        find_facts: Returns what workers published of a step, None where none did.
        find_definition: Returns the code of a step, None where this process lacks it.
        nearest: Returns the known names most like one, best first.
        classifier: Decides which steps are critical.
        settings: Bounds, queues, and what holds where nobody says otherwise.

    Raises:
        InvalidBatch: With all that is wrong; as `UnknownStep` where nothing but unknown names is.
    """
    catalogue = Catalogue(find_definition=find_definition, find_facts=find_facts, nearest=nearest)
    refusal = Refusal(batch)
    calls = batch.calls if batch.then is None else (*batch.calls, batch.then)
    refusal.check_calls(calls, catalogue)
    classification, decisions = _classify(batch, classifier, catalogue)
    if batch.mode == "parallel":
        refusal.check_mode(decisions)
    places = Placement(batch, catalogue, settings, refusal).place_all(calls, decisions)
    refusal.raise_if_any()
    steps = _steps(calls, decisions, places, StepLimits(settings, catalogue))
    refusal.check_size(sum(utf8_size(step.encoded) for step in steps), settings.max_run_bytes)
    refusal.raise_if_any()
    return _assemble(batch, steps, classification, settings)


def _classify(batch: Batch, classifier: StepClassifier, catalogue: Catalogue) -> tuple[Classification, list[Decision]]:
    """Return the classification of the steps, and the decisions on them and on the completion body."""

    def classify(calls: Sequence[BatchCall]) -> Classification:
        return classifier.classify_steps(
            [call.name for call in calls],
            batch.context,
            facts=catalogue.declared,
            calls=[call.critical for call in calls],
        )

    classification = classify(batch.calls)
    body = [] if batch.then is None else classify([batch.then]).decisions
    return classification, [*classification.decisions, *body]


def _steps(
    calls: Sequence[BatchCall], decisions: Sequence[Decision], places: Sequence[Place], limits: StepLimits
) -> list[PlannedStep]:
    steps = []
    for position, (call, decision, place) in enumerate(zip(calls, decisions, places, strict=True)):
        timeout_s, retries, backoff = limits.of(call, critical=decision.critical)
        planned = StepCall(call.id, call.name, call.params, timeout_s, retries, backoff)
        encoded = planned.encode(call.params_json)
        steps.append(
            PlannedStep(
                position,
                planned,
                encoded,
                decision.critical,
                decision.reason,
                decision.rule,
                place.queue,
                place.lane,
                limits.over_site(call.name),
            )
        )
    return steps


def _assemble(batch: Batch, steps: Sequence[PlannedStep], classification: Classification, settings: Settings) -> Plan:
    body = None if batch.then is None else steps[-1]
    flat = tuple(steps if body is None else steps[:-1])
    sequence = ledger_sequence(flat)
    return Plan(
        steps=flat,
        sequence=sequence,
        parcels=pack([flat[position] for position in sequence]),
        context=batch.context,
        context_json=batch.context_json,
        order=batch.order or settings.order,
        strategy=batch.strategy or settings.strategy,
        mode=_mode(flat),
        deadline_s=settings.run_deadline_s if batch.deadline_s is None else batch.deadline_s,
        max_concurrency=batch.max_concurrency or settings.max_concurrency,
        then=body,
        classification=classification,
        name=batch.name,
        priority=run_priority(has_critical_steps=bool(classification.critical), is_high=batch.priority == "high"),
        after=batch.after,
        idempotency_key=batch.idempotency_key,
        supersede=batch.supersede,
        queue_timeout_s=batch.queue_timeout_s,
    )


def _mode(steps: Sequence[PlannedStep]) -> Mode:
    kinds = {step.sequential for step in steps}
    if kinds == {True, False}:
        return "hybrid"
    return "sequential" if kinds == {True} else "parallel"
