"""What there is to say of a run while it goes: its state, its counts, and what it waits for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, cast

from config.choices import Mode, Strategy
from steps.ledger.records import DelayedStep, RunFacts
from steps.outcome import STATUSES

RunState = Literal["not_found", "waiting", "queued", "running", "paused", "stopping", "completed"]
"""``waiting``: for other runs; ``queued``: no step has started; ``stopping``: cancelled, or past its deadline."""

PENDING: Final = "pending"
"""Beside the statuses: what has no outcome yet."""

_STRATEGIES: Final[dict[str, Strategy]] = {"b": "basic", "s": "simple"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """A run as it stands.

    Args:
        run_id: The run.
        state: One of `RunState`.
        name: What people call it; None where it has no name.
        mode: How it runs.
        strategy: What follows a failed critical step.
        priority: 1, 10 more where it has critical steps, 5 more where its caller said that it is urgent.
        submitted_ms: When it was accepted, in milliseconds since 1970.
        started_ms: When its first step started; None if none has.
        settled_ms: When its last outcome was fixed; None if there are more to come.
        duration_ms: From its submission to its last outcome, or until now.
        total: How many steps it has.
        counts: Steps by status, zeros too, and ``pending``.
        ok: Whether every step succeeded; None until it has settled.
        waits_for: Sentences; empty where it waits for nothing but its running steps.
        after: Ids of the runs that had to settle before it began.
        rolled_back: Whether Redis came back with older data while it was open: what a step did may be done twice.
    """

    run_id: str
    state: RunState
    name: str | None = None
    mode: Mode | None = None
    strategy: Strategy | None = None
    priority: int = 1
    submitted_ms: float | None = None
    started_ms: float | None = None
    settled_ms: float | None = None
    duration_ms: float | None = None
    total: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*STATUSES, PENDING), 0))
    ok: bool | None = None
    waits_for: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    rolled_back: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it as ``stepline status --json`` prints it."""
        return {**asdict(self), "waits_for": list(self.waits_for), "after": list(self.after)}


def status_of(run_id: str, facts: RunFacts | None, waits_for: tuple[str, ...] = ()) -> RunStatus:
    """Return the status that a run's facts amount to; of a run that is gone: ``not_found``."""
    if facts is None:
        return RunStatus(run_id=run_id, state="not_found")
    plain = facts.plain
    settled_ms = _when(plain["settled_at"])
    submitted_ms = _when(plain["created"]) or 0.0
    total = int(plain["n"])
    counts = _counts(plain["tally"], total)
    return RunStatus(
        run_id=run_id,
        state=_state(plain),
        name=plain["name"] or None,
        mode=cast(Mode, plain["mode"]) if plain["mode"] else None,
        strategy=_STRATEGIES[plain["strat"]],
        priority=int(plain["prio"] or 1),
        submitted_ms=submitted_ms,
        started_ms=_when(plain["first"]),
        settled_ms=settled_ms,
        duration_ms=round((settled_ms or facts.now_ms) - submitted_ms, 3),
        total=total,
        counts=counts,
        ok=None if settled_ms is None else counts["succeeded"] == total,
        waits_for=waits_for,
        after=tuple(plain["after"].split(",")) if plain["after"] else (),
        rolled_back=bool(plain["rolled_back"]),
    )


def what_it_waits_for(
    run_id: str,
    facts: RunFacts,
    *,
    live: Mapping[str, int],
    id_of: Callable[[int], str],
    leaders: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return, in sentences, what keeps an open run from going on.

    Args:
        run_id: The run.
        facts: What the ledger says of it.
        live: Live workers by queue.
        id_of: Returns the id of the step at a ledger index.
        leaders: Those of the runs it begins after that are open.
    """
    plain = facts.plain
    if plain["state"] != "open" or plain["stop"]:
        return ()
    if plain["paused"]:
        return ("somebody to resume it",)
    if int(plain["waits"] or 0):
        return tuple(f"run {leader} to settle" for leader in leaders)
    found = [_delayed(step, id_of(step.index)) for step in facts.delayed]
    found += _lane(run_id, plain, live, is_delayed=any(step.index < int(plain["ncrit"]) for step in facts.delayed))
    found += [_parallel(queue, plain, live) for queue in facts.unclaimed]
    return tuple(dict.fromkeys(found))


def _lane(run_id: str, plain: Mapping[str, str], live: Mapping[str, int], *, is_delayed: bool) -> list[str]:
    if "lane" not in plain or plain["hold"] or plain["away"]:
        return []
    if plain["lane_head"] != run_id:
        return [_held_lane(plain)]
    return [] if is_delayed else [_worker(plain["lane_queue"], live)]


def _held_lane(plain: Mapping[str, str]) -> str:
    holder, _, since_us = plain["lane_holder"].partition("|")
    if not since_us:  # whoever is first there has its turn in another lane
        return f"lane {plain['lane']}, in which run {plain['lane_head']} comes first"
    return f"lane {plain['lane']} held by {holder} since {_clock(int(since_us) / 1000)}"


def _parallel(queue: str, plain: Mapping[str, str], live: Mapping[str, int]) -> str:
    if not plain["gate"]:
        return "its critical steps, which come first"
    if live.get(queue) and int(plain["running"] or 0) >= int(plain["maxc"]):
        return f"its own steps: {plain['maxc']} of them run at once at most (max_concurrency)"
    return _worker(queue, live)


def _worker(queue: str, live: Mapping[str, int]) -> str:
    return f"a free slot on {queue}" if live.get(queue) else f"no live worker on {queue}"


def _delayed(step: DelayedStep, step_id: str) -> str:
    if step.waits_for_place:
        return f"a place for {step_id}: as many of it run as its max_running allows"
    if step.waits_for_start:
        return f"the start of {step_id}, which its rate delays"
    if step.failures:
        return f"the retry of {step_id} at {_clock(step.at_ms)}"
    return f"a worker that knows {step_id}"


def _state(plain: Mapping[str, str]) -> RunState:
    if plain["state"] != "open":
        return "completed"
    if plain["stop"]:
        return "stopping"
    if plain["paused"]:
        return "paused"
    if int(plain["waits"] or 0):
        return "waiting"
    return "running" if plain["first"] else "queued"


def _counts(tally: str, total: int) -> dict[str, int]:
    numbers = [int(count) for count in tally.split("|")] if tally else [0] * len(STATUSES)
    return {**dict(zip(STATUSES, numbers, strict=True)), PENDING: total - sum(numbers)}


def _when(microseconds: str) -> float | None:
    return int(microseconds) / 1000 if microseconds else None


def _clock(epoch_ms: float) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
