"""Turns a plan into the run that the ledger opens."""

import secrets
import time
from collections import Counter
from hashlib import sha256
from typing import Final

from producer.planning.plan import Parcel, Plan, PlannedStep
from steps.ledger.records import NewRun, ParcelRange, SiteLimits

TIME_HEX_DIGITS: Final = 12
RANDOM_BYTES: Final = 8


def new_run_id() -> str:
    """Return an id that carries its time: milliseconds since 1970 in 12 hex digits, then 16 random ones."""
    return f"{time.time_ns() // 1_000_000:0{TIME_HEX_DIGITS}x}{secrets.token_hex(RANDOM_BYTES)}"


def to_open(plan: Plan, run_id: str) -> NewRun:
    """Return the plan as the ledger takes it."""
    calls = [step.encoded for step in plan.in_ledger_order()]
    parcels = [_range(parcel) for parcel in plan.parcels]
    if plan.then is not None:
        calls.append(plan.then.encoded)
        parcels.append(_body_range(plan.then, len(plan.steps)))
    meta = plan.meta_json()
    return NewRun(
        run_id=run_id,
        meta=meta,
        calls=tuple(calls),
        parcels=tuple(parcels),
        critical_count=plan.sequential_count,
        critical_parcels=sum(parcel.lane is not None for parcel in plan.parcels),
        max_concurrency=plan.max_concurrency,
        deadline_s=plan.deadline_s,
        critical_first=plan.order == "critical_first",
        stops_at_failure=plan.strategy == "basic",
        has_body=plan.then is not None,
        name=plan.name or "",
        mode=plan.mode,
        priority=plan.priority,
        after=plan.after,
        rules=Counter(decision.rule for decision in plan.classification.decisions),
        limits=_limits(plan),
        key=plan.idempotency_key or "",
        digest=_digest(plan, meta, calls) if plan.idempotency_key else "",
        supersedes=plan.supersede or "",
        queue_timeout_s=plan.queue_timeout_s,
    )


def _digest(plan: Plan, meta: str, calls: list[str]) -> str:
    """Return what tells one plan from another: all that a caller can say of it but its name and its place in line."""
    parts = [meta, *calls, repr((plan.deadline_s, plan.max_concurrency, plan.queue_timeout_s))]
    return sha256("\n".join(parts).encode()).hexdigest()


def _limits(plan: Plan) -> dict[int, SiteLimits]:
    limits = {index: step.limits for index, step in enumerate(plan.in_ledger_order()) if step.limits is not None}
    if plan.then is not None and plan.then.limits is not None:
        limits[len(plan.steps)] = plan.then.limits
    return limits


def _range(parcel: Parcel) -> ParcelRange:
    return ParcelRange(parcel.queue, parcel.lane or "", parcel.first, parcel.first + parcel.count - 1)


def _body_range(body: PlannedStep, index: int) -> ParcelRange:
    return ParcelRange(body.queue, body.lane or "", index, index)
