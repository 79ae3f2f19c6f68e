"""A plan as JSON and as a table."""

from collections.abc import Mapping
from typing import Any, Final

from producer.cli.tables import is_roomy, print_table, printable, terminal
from producer.cli.times import span
from producer.planning.plan import Plan, PlannedStep

HEADS: Final = ("id", "class (rule)", "queue", "lane", "parcel")
LIMIT_HEADS: Final = ("timeout", "retries")
"""Columns that are shown where there is room for them."""


def plan_document(plan: Plan, expected_ms: float) -> dict[str, Any]:
    """Return what ``--json`` promises of a plan."""
    parcel_of = parcels_by_position(plan)
    return {
        "name": plan.name,
        "priority": plan.priority,
        "after": list(plan.after),
        "mode": plan.mode,
        "order": plan.order,
        "strategy": plan.strategy,
        "deadline_s": plan.deadline_s,
        "max_concurrency": plan.max_concurrency,
        "expected_ms": expected_ms,
        "steps": [_step(step, parcel_of[step.position]) for step in plan.steps],
        "parcels": [
            {"queue": parcel.queue, "lane": parcel.lane, "steps": ids}
            for parcel, ids in zip(plan.parcels, ids_by_parcel(plan), strict=True)
        ],
        "then": None if plan.then is None else plan.then.call.name,
    }


def print_plan(plan: Plan, expected_ms: float) -> None:
    """Print a plan as a table of its steps, in input order, and a line about all of it."""
    parcel_of = parcels_by_position(plan)
    heads = (*HEADS, *LIMIT_HEADS) if is_roomy() else HEADS
    print_table(heads, [row(step, parcel_of[step.position])[: len(heads)] for step in plan.steps])
    terminal().print(printable(summary(plan, expected_ms)), markup=False, soft_wrap=True)


def row(step: PlannedStep, parcel: int) -> tuple[str, ...]:
    """Return the cells of a step, for `HEADS` and `LIMIT_HEADS`."""
    return (
        _title(step.call.id, step.call.name),
        f"{'critical' if step.critical else 'non-critical'} ({step.rule})",
        step.queue,
        step.lane or "-",
        str(parcel),
        f"{step.call.timeout_s:g} s",
        str(step.call.retries),
    )


def summary(plan: Plan, expected_ms: float) -> str:
    """Return what holds for the whole plan: ``hybrid: 4 steps in 1 lane, 6 side by side; 2 parcels; ...``."""
    in_lanes, lanes = plan.sequential_count, {step.lane for step in plan.steps if step.lane is not None}
    beside = len(plan.steps) - in_lanes
    parts = [
        f"{in_lanes} in {_counted(len(lanes), 'lane')}" if in_lanes else "",
        f"{beside} side by side" if beside else "",
    ]
    told = ", ".join(part for part in parts if part) or "no steps"
    body = f", then {plan.then.call.name}" if plan.then else ""
    return (
        f"{plan.mode}: {told}{body}; {_counted(len(plan.parcels), 'parcel')}; order {plan.order}, "
        f"strategy {plan.strategy}, priority {plan.priority}; "
        f"expected {span(expected_ms)}, deadline {span(plan.deadline_s * 1000)}"
    )


def ids_by_parcel(plan: Plan) -> list[list[str]]:
    """Return the ids of the steps in each parcel, in the order in which they travel."""
    ordered = [step.call.id for step in plan.in_ledger_order()]
    return [ordered[parcel.first : parcel.first + parcel.count] for parcel in plan.parcels]


def parcels_by_position(plan: Plan) -> Mapping[int, int]:
    """Return the number of its parcel, from 0, for the input position of each step."""
    return {
        position: number
        for number, parcel in enumerate(plan.parcels)
        for position in plan.sequence[parcel.first : parcel.first + parcel.count]
    }


def _step(step: PlannedStep, parcel: int) -> dict[str, Any]:
    return {
        "id": step.call.id,
        "name": step.call.name,
        "critical": step.critical,
        "reason": step.reason,
        "rule": step.rule,
        "queue": step.queue,
        "lane": step.lane,
        "parcel": parcel,
        "timeout_s": step.call.timeout_s,
        "retries": step.call.retries,
    }


def _title(step_id: str, name: str) -> str:
    """Return the id, with the name where the id was not made from it."""
    made = step_id == name or step_id.removeprefix(f"{name}_").isdecimal()
    return step_id if made else f"{step_id} ({name})"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
