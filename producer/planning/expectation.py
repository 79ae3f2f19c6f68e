"""How long a run is expected to take, from how long each of its steps is."""

from collections.abc import Callable, Iterable
from heapq import heapreplace
from typing import Protocol

from config.choices import Order
from producer.planning.plan import Plan


class _Laned(Protocol):
    """What is asked of a step: its name, and its lane if it runs in one."""

    @property
    def name(self) -> str: ...

    @property
    def lane(self) -> str | None: ...


def expected_ms(plan: Plan, step_ms: Callable[[str], float]) -> float:
    """Return the expected time of a plan; see `expected_steps_ms`."""
    steps = [step.meta() for step in plan.steps]
    return expected_steps_ms(steps, step_ms, order=plan.order, max_concurrency=plan.max_concurrency)


def expected_steps_ms(
    steps: Iterable[_Laned], step_ms: Callable[[str], float], *, order: Order, max_concurrency: int
) -> float:
    """Return the expected time of a run in milliseconds, were it alone on enough workers.

    Args:
        steps: In input order.
        step_ms: Returns the expected time of a step by its name.
        order: Whether the steps beside each other wait for those in lanes.
        max_concurrency: How many of them run at once.
    """
    times_ms = [(step.lane is not None, step_ms(step.name)) for step in steps]
    in_lanes = sum(time_ms for in_lane, time_ms in times_ms if in_lane)
    beside = _side_by_side([time_ms for in_lane, time_ms in times_ms if not in_lane], max_concurrency)
    return in_lanes + beside if order == "critical_first" else max(in_lanes, beside)


def _side_by_side(times_ms: list[float], slots: int) -> float:
    """Return when the last of these ends, each begun as soon as one of the slots is free."""
    ends = [0.0] * min(slots, max(len(times_ms), 1))
    for time_ms in times_ms:
        heapreplace(ends, ends[0] + time_ms)
    return max(ends)
