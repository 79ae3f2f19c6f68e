"""Times as people read them: moments in local time, spans in the unit that fits."""

import time
from datetime import datetime
from typing import Final

SECOND_MS: Final = 1_000.0
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

NONE: Final = "-"


def moment(epoch_ms: float | None) -> str:
    """Return a moment in local time: of today ``12:00:01``, else with its date; a dash where there is none."""
    if epoch_ms is None:
        return NONE
    when = datetime.fromtimestamp(epoch_ms / SECOND_MS).astimezone()
    is_today = when.date() == datetime.now().astimezone().date()
    return when.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S")


def precise_moment(epoch_ms: float) -> str:
    """Return a moment of a day in local time with its milliseconds: ``12:00:01.250``."""
    when = datetime.fromtimestamp(epoch_ms / SECOND_MS).astimezone()
    return when.strftime("%H:%M:%S.") + f"{when.microsecond // 1000:03d}"


def span(milliseconds: float | None) -> str:
    """Return a span as ``12.1 ms``, ``3.4 s``, ``2 min 5 s``, ``1 h 20 min`` or ``3 d 4 h``; a dash for none."""
    if milliseconds is None:
        return NONE
    if milliseconds < SECOND_MS:
        return f"{milliseconds:.1f} ms"
    if milliseconds < MINUTE_MS:
        return f"{milliseconds / SECOND_MS:.1f} s"
    if milliseconds < HOUR_MS:
        return f"{int(milliseconds // MINUTE_MS)} min {int(milliseconds % MINUTE_MS // SECOND_MS)} s"
    if milliseconds < DAY_MS:
        return f"{int(milliseconds // HOUR_MS)} h {int(milliseconds % HOUR_MS // MINUTE_MS)} min"
    return f"{int(milliseconds // DAY_MS)} d {int(milliseconds % DAY_MS // HOUR_MS)} h"


def since(epoch_ms: float | None) -> str:
    """Return how long ago something was by this machine's clock; a dash where there is no such time."""
    return NONE if epoch_ms is None else span(max(0.0, time.time() * SECOND_MS - epoch_ms))
