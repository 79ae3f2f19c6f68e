"""Puts the steps of a plan into ledger order, and packs them into parcels."""

from collections.abc import Sequence
from itertools import groupby

from producer.planning.plan import Parcel, PlannedStep


def ledger_sequence(steps: Sequence[PlannedStep]) -> tuple[int, ...]:
    """Return the input positions in ledger order: steps in lanes in input order, then the others by queue."""
    in_lanes = [step.position for step in steps if step.lane is not None]
    by_queue: dict[str, list[int]] = {}
    for step in steps:
        if step.lane is None:
            by_queue.setdefault(step.queue, []).append(step.position)
    return tuple(in_lanes + [position for positions in by_queue.values() for position in positions])


def pack(in_ledger_order: Sequence[PlannedStep]) -> tuple[Parcel, ...]:
    """Return the parcels: neighbours of the same lane and queue travel together."""
    parcels = []
    first = 0
    for (queue, lane), members in groupby(in_ledger_order, key=lambda step: (step.queue, step.lane)):
        count = sum(1 for _ in members)
        parcels.append(Parcel(queue, lane, first, count))
        first += count
    return tuple(parcels)
