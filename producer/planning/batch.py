"""The way in: what a caller hands over, read into a `Batch` with all that is wrong with it noted.

Reading never raises: `make_plan` adds what it finds itself, and refuses everything at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypedDict, Unpack, get_args

from config.choices import Mode, Order, Priority, Strategy
from config.limits import CONCURRENCY_RANGE, DEADLINE_RANGE_S
from config.settings import Settings
from producer.planning.batch_calls import BatchCall, StepSpec, read_calls
from producer.planning.batch_fields import FieldReader, shown
from steps.problem import Problem

ORDERS: Final = get_args(Order)
STRATEGIES: Final = get_args(Strategy)
MODES: Final = get_args(Mode)
PRIORITIES: Final = get_args(Priority)

BATCH_KEYS: Final = (
    "steps",
    "context",
    "deadline",
    "order",
    "strategy",
    "mode",
    "max_concurrency",
    "lane",
    "then",
    "name",
    "priority",
    "after",
    "idempotency_key",
    "supersede",
    "queue_timeout",
)

BODY_PATH: Final = "then"


class BatchOptions(TypedDict, total=False):
    """What may stand beside the steps; each None or left out means: as the settings say."""

    context: Mapping[str, Any] | None
    deadline: float | None  # seconds for the whole run
    order: Order | None
    strategy: Strategy | None
    mode: Mode | None
    max_concurrency: int | None
    lane: str | None
    then: StepSpec | None
    name: str | None
    priority: Priority | None
    after: Sequence[str] | None  # ids of runs that must have settled first
    idempotency_key: str | None
    supersede: str | None
    queue_timeout: float | None  # seconds until its first step must have started


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch as it was handed over; None is what the caller left open.

    Args:
        calls: Its steps, in input order.
        context: What all of them may read.
        context_json: The same as JSON; empty for none.
        deadline_s: For the whole run, in seconds.
        order: Whether parallel steps wait for the critical ones.
        strategy: Whether critical steps go on after a failure.
        mode: A forced mode; None or ``hybrid``: as classified.
        max_concurrency: How many of its steps may run at once.
        lane: Template of the lane of critical steps that name none.
        then: The completion body.
        name: What people call it.
        priority: How urgent it is.
        after: Ids of the runs that must have settled before it begins.
        idempotency_key: Submitting again under it returns the run that is there.
        supersede: The place that it takes; the run that has it is cancelled.
        queue_timeout_s: How long it may wait for its first step to start, in seconds.
        problems: What is wrong with it; `make_plan` refuses a batch that has any.
    """

    calls: tuple[BatchCall, ...]
    context: dict[str, Any] = field(default_factory=dict)
    context_json: str = ""
    deadline_s: float | None = None
    order: Order | None = None
    strategy: Strategy | None = None
    mode: Mode | None = None
    max_concurrency: int | None = None
    lane: str | None = None
    then: BatchCall | None = None
    name: str | None = None
    priority: Priority | None = None
    after: tuple[str, ...] = ()
    idempotency_key: str | None = None
    supersede: str | None = None
    queue_timeout_s: float | None = None
    problems: tuple[Problem, ...] = ()


def parse_batch(steps: Iterable[StepSpec], *, settings: Settings, **options: Unpack[BatchOptions]) -> Batch:
    """Read steps and options as a program gives them."""
    return read_batch({"steps": steps, **options}, settings=settings)


def read_batch(document: Mapping[str, object], *, settings: Settings, problems: Sequence[Problem] = ()) -> Batch:
    """Read a batch from one object, such as the content of a file.

    Args:
        document: Has some of `BATCH_KEYS`, ``steps`` among them.
        settings: Whose bounds hold.
        problems: What was found wrong with the document before.
    """
    reader = FieldReader(settings, problems)
    reader.known_keys(document, BATCH_KEYS, "")
    context, context_json = reader.json_object(document.get("context"), "context")
    specs = _read_steps(reader, document, settings.max_steps)
    paths = [f"steps[{index}]" for index in range(len(specs))]
    body = document.get("then")
    if body is not None:
        specs, paths = [*specs, body], [*paths, BODY_PATH]
    calls = read_calls(reader, specs, paths)
    return Batch(
        calls=calls if body is None else calls[:-1],
        context=context,
        context_json=context_json,
        deadline_s=reader.seconds(document.get("deadline"), "deadline", DEADLINE_RANGE_S),
        order=reader.choice(document.get("order"), "order", ORDERS),
        strategy=reader.choice(document.get("strategy"), "strategy", STRATEGIES),
        mode=reader.choice(document.get("mode"), "mode", MODES),
        max_concurrency=reader.count(document.get("max_concurrency"), "max_concurrency", CONCURRENCY_RANGE),
        lane=reader.text(document.get("lane"), "lane"),
        name=reader.title(document.get("name"), "name"),
        priority=reader.choice(document.get("priority"), "priority", PRIORITIES),
        after=reader.run_ids(document.get("after"), "after"),
        idempotency_key=reader.title(document.get("idempotency_key"), "idempotency_key"),
        supersede=reader.title(document.get("supersede"), "supersede"),
        queue_timeout_s=reader.seconds(document.get("queue_timeout"), "queue_timeout", DEADLINE_RANGE_S),
        then=None if body is None else calls[-1],
        problems=tuple(reader.problems),
    )


def _read_steps(reader: FieldReader, document: Mapping[str, object], max_steps: int) -> list[object]:
    steps = document.get("steps")
    if steps is None:
        reader.refuse("steps", "is missing; give a list of step names or objects")
        return []
    if isinstance(steps, str | bytes | Mapping) or not isinstance(steps, Iterable):
        reader.refuse("steps", f"must be a list of step names or objects, not {shown(steps)}")
        return []
    specs = list(islice(steps, max_steps + 1))
    if len(specs) > max_steps:
        reader.refuse("steps", f"has more than the {max_steps} steps allowed; split the batch")
        return []
    return specs
