"""The process of one step: runs its code as a prefork child does, and reports how it ended."""

import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

from steps.attempt import Attempt, Decision, End, Overran, Raised, Returned, Settle, Stopped, decide, prepare
from steps.call import StepCall
from steps.calling import end_of_blocking
from steps.failure import error_of
from steps.registry import StepRegistry
from steps.side_by_side import SideBySide
from workers.alarm import Alarm
from workers.own_process_wire import HEARD_AT, STOPPED_AT, Order, OwnContext, report_of, write_sheet

STOP_SEEN_EVERY_S: Final = 0.1
"""How soon a running coroutine notices that it was stopped."""

KILLED_FIRST: Final = "500"
"""Where memory runs out, the kernel shall end the step rather than its worker: added to its badness, of 1000."""


def run_step(order: Order, began: float, *, sheet: int, flags: memoryview) -> None:
    """Run the step of an order in this process and write its report.

    Args:
        order: What to run.
        began: Since when its time runs, on the clock of ``time.monotonic``.
        sheet: Where the report is written.
        flags: What the guard shares.
    """
    process = os.getpid()
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(KILLED_FIRST)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        decision = _decision(order, began, flags)
    except Exception as error:  # noqa: BLE001 - a step that is not known here, no memory: whatever it is, it is said
        decision = Settle("failed", error=error_of(error))
    if os.getpid() != process:
        os._exit(1)  # what the step forked must not report for it
    write_sheet(sheet, report_of(decision))
    with suppress(Exception):
        sys.stdout.flush()
        logging.shutdown()


def _decision(order: Order, began: float, flags: memoryview) -> Decision | None:
    call, context = StepCall.decode(order.call), OwnContext(order, flags)
    definition = StepRegistry().get(call.name)
    prepared = prepare(definition, call, context=context, failures=order.failures, timeout_s=order.timeout_s)
    if isinstance(prepared, Settle):
        return prepared
    prepared.begin(began)
    end = _await_here(prepared, flags) if definition.is_coroutine else _call_here(prepared, flags)
    if isinstance(end, Stopped):
        return None
    remaining_s = None if order.run_deadline is None else order.run_deadline - time.monotonic()
    return decide(prepared, end, limits=order.limits, rng=Random(), run_remaining_s=remaining_s)


def _call_here(attempt: Attempt, flags: memoryview) -> End:
    def is_stopped() -> bool:
        flags[HEARD_AT] = flags[STOPPED_AT]
        return flags[STOPPED_AT] == 1

    left_s = max(0.0, attempt.deadline - time.monotonic())
    _, end = Alarm().call(lambda: end_of_blocking(attempt), left_s, is_stopped=is_stopped)
    # A step that looks at its context may return before the alarm rings.
    if flags[STOPPED_AT]:
        return Stopped("")
    if end is None or attempt.context.cancelled:
        return Overran()
    assert isinstance(end, Returned | Raised)
    return end


def _await_here(attempt: Attempt, flags: memoryview) -> End:
    side = SideBySide()
    side.start(attempt)
    ended: list[tuple[Attempt, End]] = []
    while not ended:
        ended = side.wait(STOP_SEEN_EVERY_S)
        if flags[STOPPED_AT]:
            flags[HEARD_AT] = 1
            side.stop(attempt, "")
    # One that swallows its cancellation is killed.
    while side.is_zombie(attempt):
        side.wait(STOP_SEEN_EVERY_S)
    return ended[0][1]
