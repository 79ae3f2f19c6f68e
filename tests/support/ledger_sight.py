"""What can be seen in Redis of steps and lanes, in the words of the tables, and whether a table allows a change."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steps.ledger.records import ParcelRange

NEXT_EVENTS = frozenset({"next", "next_early"})
"""Events of a lane that bring the run behind to its head."""

LONGEST_PATH = 4
"""One call may bring about several events: a step settles, its run leaves the lane, the next one is offered."""

Table = Mapping[str, Mapping[str, str]]
Record = Mapping[bytes, bytes]


@dataclass(frozen=True)
class LaneSight:
    state: str
    line: tuple[str, ...]

    @property
    def head(self) -> str:
        return self.line[0] if self.line else ""


def state_of_step(record: Record, parcels: Sequence[ParcelRange], index: int) -> str:
    """Return a step's state by the table; the ledger itself does not tell waiting, ready and published apart."""
    raw = raw_state(record, index)
    if raw not in {"new", "ready"}:
        return raw
    if b"o%d" % index in record:
        return "vacated"
    number = next(k for k, parcel in enumerate(parcels) if parcel.first <= index <= parcel.last)
    if not _is_reached(record, parcels, number, index):
        return "ready" if raw == "ready" else "waiting"
    is_claimable = record.get(b"pub%d" % number) == b"1" and not record.get(b"paused")
    return "published" if is_claimable else "ready"


def _is_reached(record: Record, parcels: Sequence[ParcelRange], number: int, index: int) -> bool:
    if not parcels[number].lane:
        return record[b"state"] == b"body" if number == int(record[b"np"]) else record.get(b"gate") == b"1"
    cursor = int(record.get(b"c%d" % number, parcels[number].first))
    is_offered = record.get(b"offered") == b"1" and not record.get(b"hold")
    return record[b"seg"] == b"%d" % number and cursor == index and is_offered


def state_of_lane(lane: str, line: Sequence[str], records: Mapping[str, Record], parcels: Mapping[str, Any]) -> str:
    """Return a lane's state by the table: what its first run does there."""
    if not line:
        return "idle"
    record, spans = records[line[0]], parcels[line[0]]
    if record.get(b"hold"):
        held = int(record[b"hold"])
        is_here = next(span.lane for span in spans if span.first <= held <= span.last) == lane
        if is_here:
            return "held" if raw_state(record, held) == "running" else "draining"
        return "waiting"
    is_here = record[b"seg"] != b"" and spans[int(record[b"seg"])].lane == lane
    return "offered" if is_here and record.get(b"offered") == b"1" else "waiting"


def raw_state(record: Record, index: int) -> str:
    """Return a step's state as the ledger keeps it; ``new`` where nothing has happened to it."""
    return record.get(b"s%d" % index, b"new").split(b"|")[0].decode()


def events_between(table: Table, before: str, after: str, allowed: frozenset[str]) -> list[tuple[str, str]]:
    """Return the fewest allowed (state, event) that lead from one state to the other; fails where none do."""
    seen: dict[str, list[tuple[str, str]]] = {before: []}
    waiting = deque([before])
    while waiting:
        state = waiting.popleft()
        for event in sorted(allowed & table[state].keys()):
            next_, path = table[state][event], [*seen[state], (state, event)]
            if next_ == after:
                return path
            if next_ not in seen and len(path) < LONGEST_PATH:
                seen[next_] = path
                waiting.append(next_)
    raise AssertionError(f"the table has no way from {before} to {after} by {sorted(allowed)}")


def lane_events(table: Table, before: LaneSight, after: LaneSight, allowed: frozenset[str]) -> list[tuple[str, str]]:
    """Return the (state, event) that lead from one sight of a lane to the next; fails where the table has none."""
    grown = set(after.line) - set(before.line)
    if (before.state, before.head) == (after.state, after.head):
        return [(before.state, "enter")] if grown and before.state != "idle" else []
    if before.head == after.head:
        allowed = allowed - NEXT_EVENTS
    elif after.head in before.line:
        allowed = allowed & NEXT_EVENTS
    return events_between(table, before.state, after.state, allowed)
