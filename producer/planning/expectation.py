"""How long a plan is expected to take, from how long each of its steps is."""

from collections.abc import Callable
from heapq import heapreplace

from producer.planning.plan import Plan


def expected_ms(plan: Plan, step_ms: Callable[[str], float]) -> float:
    """Return the expected time of a plan in milliseconds, were it alone on enough workers.

    Args:
        plan: With its order and ``max_concurrency``.
        step_ms: Returns the expected time of a step by its name.
    """
    times_ms = [(step.sequential, step_ms(step.call.name)) for step in plan.steps]
    in_lanes = sum(time_ms for sequential, time_ms in times_ms if sequential)
    beside = _side_by_side([time_ms for sequential, time_ms in times_ms if not sequential], plan.max_concurrency)
    return in_lanes + beside if plan.order == "critical_first" else max(in_lanes, beside)


def _side_by_side(times_ms: list[float], slots: int) -> float:
    """Return when the last of these ends, each begun as soon as one of the slots is free."""
    ends = [0.0] * min(slots, max(len(times_ms), 1))
    for time_ms in times_ms:
        heapreplace(ends, ends[0] + time_ms)
    return max(ends)
