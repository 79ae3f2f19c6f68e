"""How often a step may start over the whole site: so many times in a second, a minute or an hour."""

import re
from dataclasses import dataclass
from typing import Final, Self

_UNITS_S: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0}
_FORM: Final = re.compile(r"([1-9][0-9]{0,4})/([smh])")

MOST_STARTS: Final = 10_000
"""Starts in one unit of time: the ledger remembers the time of each."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``starts`` in any ``within_s`` seconds; a burst may take all of them at once."""

    starts: int
    within_s: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``10/s``, ``100/m`` or ``1000/h``.

        Raises:
            ValueError: It is none of these, or more than `MOST_STARTS`.
        """
        found = _FORM.fullmatch(text)
        if found is None or int(found[1]) > MOST_STARTS:
            raise ValueError(f"{text!r} is no rate: write 1 to {MOST_STARTS} starts a unit, as 10/s, 100/m or 1000/h")
        return cls(int(found[1]), _UNITS_S[found[2]])
