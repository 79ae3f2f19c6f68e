"""How urgent a run is, as a number, and what its messages' place in their queue is because of it."""

from typing import Final

LEAST_PRIORITY: Final = 1
OF_CRITICAL_STEPS: Final = 10
OF_HIGH_PRIORITY: Final = 5
"""What a run's priority is made of: the least, more where it has critical steps, more where its caller says so."""

URGENT: Final = 0
NORMAL: Final = 1
MESSAGE_PRIORITIES: Final = [URGENT, NORMAL]
"""Of messages on Redis, where 0 comes first; kombu polls a list for each, and would poll four by default."""

LAST: Final = max(MESSAGE_PRIORITIES)
"""Of a message before which all others have come out that were sent before it, whatever their priority."""


def run_priority(*, has_critical_steps: bool, is_high: bool) -> int:
    """Return the priority of a run."""
    critical = OF_CRITICAL_STEPS if has_critical_steps else 0
    return LEAST_PRIORITY + critical + (OF_HIGH_PRIORITY if is_high else 0)


def message_priority(priority: int) -> int:
    """Return the priority of a run's messages: those of the runs that are urgent to their callers come first.

    Critical steps have a queue of their own, so the part of a priority that stands for them says nothing here.
    """
    return URGENT if (priority - LEAST_PRIORITY) % OF_CRITICAL_STEPS else NORMAL
