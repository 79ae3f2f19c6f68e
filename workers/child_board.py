"""Shared memory in which the children of a prefork worker say what they run, and their parent says when to stop."""

import mmap
import struct
from dataclasses import dataclass
from typing import Final

_HOLD: Final = struct.Struct("<BQQdddddIII64s")
_STOP: Final = struct.Struct("<Q")
_FLAGS_BYTES: Final = 8
_DRAINING_AT: Final = 0
_EVENTS_AT: Final = 1

_FREE: Final = 0
_TAKEN: Final = 1
_GIVEN_BACK: Final = 2
_NEVER: Final = -1.0

SPARE_SLOTS: Final = 4
"""Slots a child: a new child may start before its parent has seen what the one before it left behind."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What one child runs: the claim, its process, and when the attempt began and must have ended.

    ``began_s`` and ``deadline_s`` are monotonic, which all processes of a machine share; ``started_ms`` is Redis time.
    ``retry_s``: after how many seconds the step is tried again should it have to be killed for its time-out; None where
    it is not. ``is_given_back``: the child has ended, or is about to, in a way that is no death.
    """

    slot: int
    pid: int
    run_id: str
    parcel: int
    index: int
    fence: int
    attempt: int
    began_s: float
    deadline_s: float
    started_ms: float
    queued_ms: float = 0.0
    retry_s: float | None = None
    is_given_back: bool = False


class ChildBoard:
    """Slots for the children of one parent; made before the first fork.

    Args:
        children: How many run at once.
    """

    def __init__(self, children: int) -> None:
        self._children = children
        self._slots = children * SPARE_SLOTS
        self._memory = mmap.mmap(-1, _FLAGS_BYTES + self._slots * (_HOLD.size + _STOP.size))

    @property
    def is_draining(self) -> bool:
        """Whether the worker is going down: finish the step at hand and claim no more."""
        return self._memory[_DRAINING_AT] == 1

    def drain(self) -> None:
        """Ask the children to claim no more."""
        self._memory[_DRAINING_AT] = 1

    @property
    def events_flag(self) -> memoryview:
        """The byte that says, in parent and children alike, whether events are to be sent."""
        return memoryview(self._memory)[_EVENTS_AT : _EVENTS_AT + 1]

    def free_slot(self, child: int) -> int:
        """Return a slot of its own for the child with this number (0 up to ``children``)."""
        for slot in range(child % self._children, self._slots, self._children):
            if self._memory[self._at(slot)] == _FREE:
                return slot
        return child % self._children

    def write(self, hold: Hold) -> None:
        """Say what is run in the hold's slot; the leading byte comes last, so a half-written hold is never read."""
        packed = _HOLD.pack(
            _TAKEN,
            hold.pid,
            hold.fence,
            hold.began_s,
            hold.deadline_s,
            hold.started_ms,
            hold.queued_ms,
            _NEVER if hold.retry_s is None else hold.retry_s,
            hold.parcel,
            hold.index,
            hold.attempt,
            hold.run_id.encode(),
        )
        at = self._at(hold.slot)
        self._memory[at] = _FREE
        self._memory[at + 1 : at + _HOLD.size] = packed[1:]
        self._memory[at] = _TAKEN

    def give_back(self, slot: int) -> bool:
        """Say that the child of this slot ends and gives back what it holds; False if it holds nothing."""
        if self._memory[self._at(slot)] == _FREE:
            return False
        self._memory[self._at(slot)] = _GIVEN_BACK
        return True

    def ask_to_stop(self, slot: int, fence: int) -> None:
        """Ask for the stop of the attempt with this fence, and no other."""
        at = self._stop_at(slot)
        self._memory[at : at + _STOP.size] = _STOP.pack(fence)

    def stop_asked(self, slot: int) -> int:
        """Return the fence of the attempt in this slot that was last asked to stop, or 0."""
        at = self._stop_at(slot)
        return int(_STOP.unpack(self._memory[at : at + _STOP.size])[0])

    def clear(self, slot: int) -> None:
        """Say that nothing is run in a slot."""
        self._memory[self._at(slot)] = _FREE

    def holds(self) -> list[Hold]:
        """Return what is being run now, or was when its child died."""
        return [hold for slot in range(self._slots) if (hold := self._read(slot)) is not None]

    def _read(self, slot: int) -> Hold | None:
        at = self._at(slot)
        fields = _HOLD.unpack(self._memory[at : at + _HOLD.size])
        state, pid, fence, began_s, deadline_s, started_ms, queued_ms, retry_s, parcel, index, attempt, run = fields
        if state == _FREE:
            return None
        return Hold(
            slot=slot,
            pid=pid,
            run_id=run.rstrip(b"\0").decode(),
            parcel=parcel,
            index=index,
            fence=fence,
            attempt=attempt,
            began_s=began_s,
            deadline_s=deadline_s,
            started_ms=started_ms,
            queued_ms=queued_ms,
            retry_s=None if retry_s == _NEVER else retry_s,
            is_given_back=state == _GIVEN_BACK,
        )

    def _stop_at(self, slot: int) -> int:
        return _FLAGS_BYTES + self._slots * _HOLD.size + slot * _STOP.size

    @staticmethod
    def _at(slot: int) -> int:
        return _FLAGS_BYTES + slot * _HOLD.size
