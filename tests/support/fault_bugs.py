"""Bugs planted into test processes and the workers of a test, to show that the checker of the invariants finds them.

A worker plants what the variable names when it imports the fault steps; nothing that is shipped reads it.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import producer.run
import workers.child_watch
import workers.serial
from producer.publish import Publisher
from producer.result import result_of
from steps.calling import end_of_blocking
from steps.context import StepContext
from steps.ledger import Ledger
from steps.ledger.records import Opened, StepFate
from steps.ledger.scripts import SCRIPTS
from steps.outcome import Settlement
from workers.child_watch import ChildWatch
from workers.keeper import Keeper
from workers.leases import Leases
from workers.processes import kill
from workers.worker import Worker

VARIABLE = "FAULTS_PLANT"
CLOCK_AHEAD = "a clock an hour ahead"
"""A file in the data folder, with a line for each message that such a broker has put back."""

Patch = tuple[Any, str, Any]
"""Whose attribute, its name, what it becomes."""


@dataclass(frozen=True)
class Bug:
    """A bug; ``name`` says what goes wrong, ``breaks`` which invariants notice.

    Args:
        name: What goes wrong.
        breaks: Invariants, any of which must be said to be broken.
        scripts: Texts of the ledger's scripts and what is there instead.
        patches: Attributes of Python objects.
    """

    name: str
    breaks: str
    scripts: Mapping[str, str] | None = None
    patches: Callable[[], tuple[Patch, ...]] = tuple

    def __str__(self) -> str:
        return self.name


def _drop_second_message() -> tuple[Patch, ...]:
    sent = []
    publish = Publisher.publish

    def forgetful(self: Publisher, ready: Any, **more: Any) -> bool:
        sent.append(ready)
        if len(sent) % 2 == 0:
            self._marks += [(parcel.run_id, parcel.parcel) for parcel in ready]
            return True
        return publish(self, ready, **more)

    return (
        (Publisher, "publish", forgetful),
        (Keeper, "_lost", lambda self, *_: ()),
        (Keeper, "_probe", lambda self, *_: None),
    )


def _settle_twice() -> tuple[Patch, ...]:
    settle = Ledger.settle_and_claim_next

    def twice(self: Ledger, run_id: str, parcel: int, fates: Any, *, worker: str, want: int) -> Any:
        settle(self, run_id, parcel, fates, worker=worker, want=0)
        return settle(self, run_id, parcel, fates, worker=worker, want=want)

    return ((Ledger, "settle_and_claim_next", twice),)


def _vacate_early() -> tuple[Patch, ...]:
    settle = Ledger.settle

    def early(self: Ledger, run_id: str, parcel: int, fates: Any, *, worker: str, vacated: bool = True) -> Any:
        return settle(self, run_id, parcel, fates, worker=worker, vacated=True)

    def spare(pid: int, *softer: Any) -> None:
        if softer:
            kill(pid, *softer)

    # Without the kill the step goes on for a while, as one whose process is slow to die.
    return (Ledger, "settle", early), (workers.child_watch, "kill", spare)


def _forget_run() -> tuple[Patch, ...]:
    return ((Ledger, "open", lambda self, run, **more: Opened(created=True, ready=())),)


def _result_without_last() -> tuple[Patch, ...]:
    def short(meta: Any, *, outcomes: Any, **more: Any) -> Any:
        return result_of(meta, outcomes=outcomes[:-1], **more)

    return ((producer.run, "result_of", short),)


def _result_reversed() -> tuple[Patch, ...]:
    def backwards(meta: Any, *, outcomes: Any, **more: Any) -> Any:
        return result_of(meta, outcomes=outcomes[::-1], **more)

    return ((producer.run, "result_of", backwards),)


def _effect_key_of_attempt() -> tuple[Patch, ...]:
    return ((StepContext, "effect_key", property(lambda self: f"{self.run_id}/{self.step_id}/{self.attempt}")),)


def _run_code_twice() -> tuple[Patch, ...]:
    def twice(attempt: Any) -> Any:
        end_of_blocking(attempt)
        return end_of_blocking(attempt)

    return ((workers.serial, "end_of_blocking", twice),)


def _succeed_unseen() -> tuple[Patch, ...]:
    def pretend(self: Any, run: Any, parcel: int, claimed: Any) -> Any:
        step = claimed.steps[0]
        settlement = Settlement(status="succeeded", attempts=step.attempt)
        return StepFate(step.index, step.fence, "S", "succeeded", settlement.encode())

    return ((workers.serial.SerialPipeline, "_execute", pretend),)


def _fences_of_one() -> dict[str, str]:
    return {"  local first = math.max((tonumber(call('HGET', SITE, 'fence')) or 0) + 1, NOW)\n": "  local first = 1\n"}


BUGS = (
    Bug("a message is dropped and never sent again", "A", patches=_drop_second_message),
    Bug(
        "any fence may settle",
        "A",
        {"  if s.fence ~= fence then return '0' end\n  if s.state == 'settled'": "  if s.state == 'settled'"},
        lambda: ((Worker, "_end_as_dead", lambda self: None),),
    ),
    Bug(
        "a step settles twice",
        "A",
        {"  if s.state ~= 'running' then return '0' end\n  local critical": "  local critical"},
        _settle_twice,
    ),
    Bug("a lane is vacated before the code has stopped", "C", patches=_vacate_early),
    Bug(
        "the steps that wait for the critical ones are forgotten",
        "A",
        {"  put(R, 'gate', '1')\n  for k =": "  put(R, 'gate', '1')\n  for k = 1 +"},
    ),
    Bug("the run that waits for another is forgotten", "A", {"  let_followers_go(R)\n": ""}),
    Bug(
        "the next run in line is forgotten",
        "A",
        {"call('HDEL', LANES, lane) end\n  offer_head(lane)\n": "call('HDEL', LANES, lane) end\n"},
    ),
    Bug(
        "a cancelled step runs",
        "AB",
        {"    fix(R, i, s, 'vacated', 'cancelled'": "    fix(R, i, s, 'ready', 'cancelled'"},
    ),
    Bug("gather loses an outcome", "E", patches=_result_without_last),
    Bug("gather turns the order round", "E", patches=_result_reversed),
    Bug(
        "a lane serves the last come first",
        "CD",
        {"call('HINCRBY', SITE, 'ticket', 1)": "call('HINCRBY', SITE, 'ticket', -1)"},
    ),
    Bug(
        "a resumed run overtakes those in line",
        "D",
        {
            "      put(R, 'away', '')\n      enter_lanes(R, lanes_ahead(R))\n": "      put(R, 'away', '')\n"
            "      enter_lanes(R, lanes_ahead(R))\n"
            "      for lane in string.gmatch(get(R, 'lanes'), '[^\\n]+') do call('ZADD', LANE .. lane, 0, R.id) end\n"
        },
    ),
    Bug(
        "two runs are in one lane at once",
        "C",
        {"  if call('ZRANGE', LANE .. p.lane, 0, 0)[1] ~= R.id then return end\n": ""},
    ),
    Bug("fences repeat", "AC", _fences_of_one()),
    Bug("every attempt has a key of its own", "F", patches=_effect_key_of_attempt),
    Bug("the code runs twice under one claim", "F", patches=_run_code_twice),
    Bug("a step succeeds that never ran", "B", patches=_succeed_unseen),
    Bug(
        "the steps of a dead worker are left",
        "AH",
        patches=lambda: ((Leases, "note", lambda self, beats, *, now_s: ()),),
    ),
    Bug("the steps of a dead child are left", "AH", patches=lambda: ((ChildWatch, "dead_claims", lambda self: ()),)),
    Bug("an accepted run is forgotten", "G", patches=_forget_run),
)


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """Put the bug into this process for the block."""
    scripts, kept = dict(SCRIPTS), [(owner, name, getattr(owner, name)) for owner, name, _ in bug.patches()]
    plant(bug)
    try:
        yield
    finally:
        SCRIPTS.update(scripts)
        for owner, name, value in kept:
            setattr(owner, name, value)


def plant(bug: Bug) -> None:
    """Put the bug into this process for good."""
    for text, instead in (bug.scripts or {}).items():
        _change_scripts(bug, text, instead)
    for owner, name, value in bug.patches():
        setattr(owner, name, value)


def _change_scripts(bug: Bug, text: str, instead: str) -> None:
    changed = {name: script for name, script in SCRIPTS.items() if text in script.text}
    if not changed:
        raise LookupError(f"no script has the text of {bug.name!r} any more: {text!r}")
    for name, script in changed.items():
        mutated = script.text.replace(text, instead)
        digest = hashlib.sha1(mutated.encode(), usedforsecurity=False).hexdigest()
        SCRIPTS[name] = replace(script, text=mutated, digest=digest)


def plant_from_environment() -> None:
    """Plant what the variable names: a bug, or a clock that is an hour ahead."""
    wanted = os.environ.get(VARIABLE, "")
    if wanted == CLOCK_AHEAD:
        now = time.time
        time.time = lambda: now() + 3600
    for bug in BUGS:
        if bug.name == wanted:
            plant(bug)
