"""What a worker and the process of a step say to one another: the order, the signals on the way, the report."""

import os
import struct
from dataclasses import asdict, dataclass
from typing import Any, Final

from steps import json_value
from steps.attempt import Attempt, Decision, RetryLater, Settle, ValueLimits
from steps.call import StepCall
from steps.context import StepContext
from steps.outcome import OutcomeError

STOP: Final = b"s"
"""To a guard: stop the step softly, and hard if it does not listen."""

KILL: Final = b"k"
"""To a guard: end the step at once."""

GUARD: Final = b"P"
"""From a guard: it is there; its pid."""

BEGAN: Final = b"B"
"""From a guard: the step begins; the monotonic time."""

OVERRAN: Final = b"K"
"""From a guard: the step ignored its time-out and was killed."""

STOPPED: Final = b"S"
"""From a guard: the step ignored that it was stopped and was killed."""

ABANDONED: Final = b"A"
"""From a guard: the worker stood still for so long that the step was ended."""

ENDED: Final = b"E"
"""From a guard: the step's process and all that it started are gone; its exit code, or the signal below zero."""

STOPPED_AT: Final = 0
HEARD_AT: Final = 1
FLAGS: Final = 2
"""The bytes that guard and step share: the step was stopped, and it knows."""

SIGNAL: Final = struct.Struct("<cd")
"""Such a message: which, and a number."""

_LENGTH: Final = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Order:
    """All that a process needs to run an attempt whose code it has.

    ``run_deadline`` is monotonic, which all processes of a machine share; None for no limit.
    """

    call: str
    run_id: str
    context: dict[str, Any]
    results: dict[str, Any]
    strategy: str
    fence: int
    attempt: int
    effect_key: str
    timeout_s: float
    failures: int
    run_deadline: float | None
    max_bytes: int
    max_depth: int

    @classmethod
    def of(cls, attempt: Attempt, limits: ValueLimits, run_deadline: float | None) -> "Order":
        """Return the order to run an attempt elsewhere."""
        context = attempt.context
        return cls(
            call=attempt.call.encode(),
            run_id=context.run_id,
            context=dict(context.shared_context),
            results=dict(context.results),
            strategy=context.strategy,
            fence=context.fence,
            attempt=context.attempt,
            effect_key=context.effect_key,
            timeout_s=attempt.timeout_s,
            failures=attempt.failures,
            run_deadline=run_deadline,
            max_bytes=limits.max_bytes,
            max_depth=limits.max_depth,
        )

    @property
    def limits(self) -> ValueLimits:
        """What the step's value must keep to."""
        return ValueLimits(self.max_bytes, self.max_depth)

    def encode(self) -> bytes:
        """Return it as bytes."""
        return json_value.encode(asdict(self)).encode("utf-8", "surrogatepass")

    @classmethod
    def decode(cls, text: bytes) -> "Order":
        """Return the order of bytes that `encode` made."""
        return cls(**json_value.decode(text))


class OwnContext(StepContext):
    """The ``ctx`` of a step in a process of its own: whether it was stopped stands in memory that its guard shares."""

    __slots__ = ("_flags",)

    def __init__(self, order: Order, flags: memoryview) -> None:
        super().__init__(
            run_id=order.run_id,
            step_id=StepCall.decode(order.call).id,
            context=order.context,
            results=order.results,
            strategy=order.strategy,
            fence=order.fence,
            attempt=order.attempt,
            effect_key=order.effect_key,
        )
        self._flags = flags

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for this attempt any longer: a step that looks should stop."""
        return super().cancelled or self._flags[STOPPED_AT] == 1 or self.remaining_s == 0


def report_of(decision: Decision | None) -> bytes:
    """Return what a step's process says of its end; None: it was stopped."""
    record: dict[str, Any] = {}
    match decision:
        case Settle(status, value, error):
            record = {"status": status, "value": value, "error": None if error is None else error.as_dict()}
        case RetryLater(delay_s, error):
            record = {"delay_s": delay_s, "error": error.as_dict()}
    return json_value.encode(record).encode("utf-8", "surrogatepass")


def decision_of(report: bytes) -> Decision | None:
    """Return what `report_of` was given."""
    record = json_value.decode(report)
    if not record:
        return None
    error = None if record["error"] is None else OutcomeError(**record["error"])
    if error is not None and "delay_s" in record:
        return RetryLater(record["delay_s"], error)
    return Settle(record["status"], record["value"], error)


def write_sheet(sheet: int, text: bytes) -> None:
    """Write down a text in a file in memory; its length comes last, so that half a text is never read."""
    at = _LENGTH.size
    while at < _LENGTH.size + len(text):
        at += os.pwrite(sheet, text[at - _LENGTH.size :], at)
    os.pwrite(sheet, _LENGTH.pack(len(text)), 0)


def read_sheet(sheet: int) -> bytes | None:
    """Return the text of such a file; None where there is none yet."""
    head = os.pread(sheet, _LENGTH.size, 0)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    text = b""
    while len(text) < length:
        part = os.pread(sheet, length - len(text), _LENGTH.size + len(text))
        if not part:
            return None
        text += part
    return text if length else None
