"""Reads the scripts' replies into records: the pure half of the ledger, shared by every way of calling it."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from steps.ledger.records import (
    Claimed,
    ClaimedStep,
    DelayedStep,
    Opened,
    Ready,
    RunFacts,
    RunRecord,
    Settled,
    Ticked,
)

MICROSECONDS: Final = 1_000_000
ACCEPTED: Final = ord("1")

Reply: TypeAlias = Sequence[Any]


def ready_of(rows: Reply) -> tuple[Ready, ...]:
    """Read the parcels to publish."""
    return tuple(
        Ready(run.decode(), int(parcel), queue.decode(), int(copies), int(priority or 1))
        for run, parcel, queue, copies, priority in rows
    )


def names_of(rows: Reply) -> tuple[str, ...]:
    """Read run ids."""
    return tuple(row.decode() for row in rows)


def opened_of(reply: Reply) -> Opened:
    """Read the reply of open, where it was not refused."""
    if reply[1] == b"same":
        return Opened(created=False, ready=(), run_id=reply[2].decode())
    return Opened(created=reply[1] == b"opened", ready=ready_of(reply[2]), unfinished=names_of(reply[3]))


def claimed_of(standing: Reply, more: bytes, rows: Reply, meta: bytes) -> Claimed:
    """Read what was claimed."""
    now, left, settled = int(standing[0]), int(standing[1]), int(standing[2])
    steps = tuple(
        ClaimedStep(int(index), int(fence), int(attempt), int(failures), int(queued) / 1000, call, suspect == b"1")
        for index, fence, attempt, failures, queued, call, suspect in rows
    )
    remaining_s = None if left < 0 else left / MICROSECONDS
    return Claimed(steps, now / 1000, remaining_s, settled, more == b"1", meta)


def settled_of(reply: Reply, count: int) -> Settled:
    """Read the reply of settle or settle_and_claim_next for ``count`` fates; a run that is gone accepted none."""
    if reply[1] == b"gone":
        return Settled(accepted=(False,) * count)
    _, _, marks, ready, unfinished, *claim = reply
    accepted = tuple(mark == ACCEPTED for mark in marks)
    return Settled(accepted, ready_of(ready), names_of(unfinished), claimed_of(*claim) if claim else Claimed())


def run_record_of(reply: Reply) -> RunRecord:
    """Read the reply of read for a run that is there."""
    _, _, state, created, settled_at, left, meta, outcomes, rolled_back = reply
    return RunRecord(
        is_settled=state != b"open",
        created_ms=int(created) / 1000,
        settled_ms=int(settled_at) / 1000 if settled_at else None,
        left=int(left),
        meta=meta,
        outcomes=tuple(outcome or None for outcome in outcomes),
        rolled_back=rolled_back == b"1",
    )


def run_facts_of(now_us: bytes, row: Reply) -> RunFacts | None:
    """Read what status says of one run; None where it is gone."""
    if len(row) == 1:
        return None
    pairs = [(row[at].decode(), row[at + 1].decode()) for at in range(0, len(row), 2)]
    return RunFacts(
        now_ms=int(now_us) / 1000,
        plain={name: value for name, value in pairs if name not in ("unclaimed", "delayed")},
        unclaimed=tuple(value for name, value in pairs if name == "unclaimed"),
        delayed=tuple(_delayed_of(value) for name, value in pairs if name == "delayed"),
    )


def _delayed_of(text: str) -> DelayedStep:
    index, at_us, failures, held_for = text.split("|")
    return DelayedStep(int(index), int(at_us or 0) / 1000, int(failures), held_for == "place", held_for == "start")


def ticked_of(reply: Reply) -> Ticked:
    """Read the reply of tick."""
    _, standing, ready, lost, more, next_due, stops, beats, probes = reply
    pairs = zip(beats[::2], beats[1::2], strict=True)
    return Ticked(
        standing=standing.decode(),
        ready=ready_of(ready),
        maybe_lost=ready_of(lost),
        unfinished=names_of(more),
        next_due_s=int(next_due) / 1000 if next_due else None,
        stops=tuple(_claim_name(stop) for stop in stops),
        beats={worker.decode(): int(beat) for worker, beat in pairs},
        probes=tuple((queue.decode(), int(probe)) for queue, probe in probes),
    )


def _claim_name(claim: bytes) -> tuple[str, int]:
    run, _, index = claim.decode().rpartition(":")
    return run, int(index)
