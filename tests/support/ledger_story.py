"""Tells what a ledger answers, so that the same story can be compared between servers: no times, fences by name."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from steps.errors import SteplineError
from steps.ledger.keys import key_root
from steps.ledger.records import (
    Beat,
    Claimed,
    ClaimedStep,
    NewRun,
    ParcelRange,
    Ready,
    Settled,
    SiteLimits,
    StepFate,
    Ticked,
)
from steps.outcome import STATUSES
from tests.support.ledgers import FAILED, OK, ledger_on

SECOND_US = 1_000_000

TIMES = ("since", "run_us")
"""Counts that are not the same each time."""


def run_of(
    name: str,
    *parcels: tuple[str, str, int],
    body: tuple[str, str] | None = None,
    names: Sequence[str] = (),
    **changes: Any,
) -> NewRun:
    """Build a run of parcels given as queue, lane ('' for none) and number of steps; ``body`` is queue and lane.

    ``names`` are those of the first steps; the others have none, and what has no name is not counted by it.
    """
    ranges, first = [], 0
    for queue, lane, count in parcels:
        ranges.append(ParcelRange(queue, lane, first, first + count - 1))
        first += count
    critical = [one for one in ranges if one.lane]
    if body is not None:
        ranges.append(ParcelRange(*body, first, first))
    shape = {
        "max_concurrency": 10,
        "deadline_s": 3600,
        "critical_first": True,
        "stops_at_failure": True,
        **changes,
    }
    return NewRun(
        run_id=name,
        meta=json.dumps({"of": name}),
        calls=tuple(_call(index, names[index : index + 1]) for index in range(first + (body is not None))),
        parcels=tuple(ranges),
        critical_count=sum(one.last - one.first + 1 for one in critical),
        critical_parcels=len(critical),
        has_body=body is not None,
        **shape,
    )


def _call(index: int, name: Sequence[str]) -> str:
    call = {"id": f"s{index}", **({"name": name[0]} if name else {})}
    return json.dumps(call, ensure_ascii=False, separators=(",", ":"))


def limited(
    *steps: int,
    name: str = "Fetch",
    max_running: int | None = None,
    starts: int | None = None,
    within_s: float | None = None,
) -> dict[int, SiteLimits]:
    """Return the limits of some steps of a run, by ledger index; they are all one step, by ``name``."""
    return dict.fromkeys(steps, SiteLimits(name, max_running, starts, within_s))


def ok(step: ClaimedStep) -> StepFate:
    return StepFate(step.index, step.fence, "S", "succeeded", OK)


def failed(step: ClaimedStep) -> StepFate:
    return StepFate(step.index, step.fence, "S", "failed", FAILED)


def retry(step: ClaimedStep, after_s: float = 1.0) -> StepFate:
    return StepFate(step.index, step.fence, "R", str(round(after_s * SECOND_US)))


def park(step: ClaimedStep, after_s: float = 1.0) -> StepFate:
    return StepFate(step.index, step.fence, "P", str(round(after_s * SECOND_US)))


def give_back(step: ClaimedStep) -> StepFate:
    return StepFate(step.index, step.fence, "B")


class Story:
    """A ledger whose every answer is written down.

    Args:
        client: of an empty Redis.
        settings: of the site; retries, looks and deadlines fall due only where `bring_due` says so, unless they say
            otherwise.
    """

    def __init__(self, client: Any, **settings: Any) -> None:
        self.client = client
        self.ledger = ledger_on(client, **{"republish_s": 3600, **settings})
        self.root = key_root("stepline")
        self.lines: list[str] = []
        self._fences: dict[int, str] = {}
        self.probes: list[int] = []

    def tell(self, *words: object) -> None:
        self.lines.append(" ".join(map(str, words)).rstrip())

    # verbs --------------------------------------------------------------------------------------------------------

    def open(self, run: NewRun, **options: Any) -> None:
        try:
            opened = self.ledger.open(run, **options)
        except SteplineError as error:
            return self.tell(f"open {run.run_id}: {type(error).__name__} {error.args}")
        standing = "new" if opened.created else f"it is {opened.run_id}" if opened.run_id else "there"
        return self.tell(f"open {run.run_id}: {standing};", _ready(opened.ready))

    def claim(self, run: str, parcel: int, want: int = 1, worker: str = "w") -> Sequence[ClaimedStep]:
        claimed = self.ledger.claim(run, parcel, worker=worker, want=want, with_meta=True)
        self.tell(f"claim {want} of {run}/{parcel} by {worker}:", "gone" if claimed is None else self._claimed(claimed))
        return claimed.steps if claimed else ()

    def settle(self, run: str, parcel: int, *fates: StepFate, worker: str = "w", vacated: bool = True) -> Settled:
        settled = self.ledger.settle(run, parcel, fates, worker=worker, vacated=vacated)
        self.tell(f"settle {self._fates(run, fates)}:", self._settled(settled))
        return settled

    def go_on(self, run: str, parcel: int, *fates: StepFate, want: int = 1, worker: str = "w") -> Sequence[ClaimedStep]:
        settled = self.ledger.settle_and_claim_next(run, parcel, fates, worker=worker, want=want)
        told = f"{self._settled(settled)}; next {self._claimed(settled.next)}"
        self.tell(f"settle {self._fates(run, fates)} and claim {want}:", told)
        return settled.next.steps

    def vacate(self, run: str, index: int, fence: int) -> None:
        settled = self.ledger.vacate(run, index, fence)
        self.tell(f"vacate {run}:{index} {self.fence(fence)}:", self._settled(settled))

    def tick(self, beat: Beat | None = None) -> Ticked:
        beat = beat or Beat()
        ticked = self.ledger.tick(beat)
        told = [f"{ticked.standing};", _ready(ticked.ready)]
        told += [f"; maybe lost {_ready(ticked.maybe_lost)}"] if ticked.maybe_lost else []
        told += [f"; more of {', '.join(ticked.unfinished)}"] if ticked.unfinished else []
        told += [f"; probe {queue}" for queue, _ in ticked.probes]
        self.probes += [probe for _, probe in ticked.probes]
        told += [f"; stop {', '.join(f'{run}:{index}' for run, index in ticked.stops)}"] if ticked.stops else []
        self.tell(f"tick {beat.mode} {beat.worker_id}".rstrip() + ":", *told)
        return ticked

    def join(self, *workers: str, queue: str = "critical") -> None:
        for worker in workers:
            self.ledger.tick(Beat(worker, "join", queue))

    def reap(self, worker: str) -> None:
        beat = self.ledger.tick(Beat("k", "leave")).beats[worker]
        self.tick(Beat(reap=((worker, beat),)))

    def die_alone(self, run: str, step: ClaimedStep, worker: str = "w") -> None:
        """The process of a step dies, and its worker lives on."""
        self.tick(Beat(worker, dead_claims=((f"{run}:{step.index}", step.fence),)))

    def cancel(self, run: str) -> None:
        self.tell(f"cancel {run}:", _ready(self.ledger.cancel(run, "enough")))

    def pause(self, run: str) -> None:
        self._tell_turn("pause", run)

    def resume(self, run: str) -> None:
        self._tell_turn("resume", run)

    def _tell_turn(self, verb: str, run: str) -> None:
        try:
            self.tell(f"{verb} {run}:", _ready(getattr(self.ledger, verb)(run)))
        except SteplineError as error:
            self.tell(f"{verb} {run}: {type(error).__name__}")

    def cancel_step(self, run: str, index: int) -> None:
        self.tell(f"cancel {run}:{index}:", _ready(self.ledger.cancel_step(run, index, "not this one")))

    def clear(self, run: str, queue: str) -> None:
        try:
            cleared = self.ledger.clear(run, queue, "cleared")
        except SteplineError as error:
            return self.tell(f"clear {queue} of {run}: {type(error).__name__} {error.args}")
        return self.tell(f"clear {queue} of {run}:", f"{cleared.count} cancelled;", _ready(cleared.ready))

    def purge(self, *, older_than_s: float = -1.0) -> None:
        """Forget what settled so long ago; by default whatever has settled."""
        seconds, micros = self.client.time()
        now_ms = seconds * 1000 + micros / 1000
        self.tell("purge:", self.ledger.purge(before_ms=now_ms - older_than_s * 1000), "forgotten")

    def watch(self, *runs: str, inbox: str = "") -> None:
        self.tell("watch:", self.ledger.watch(inbox, runs))

    def bring_due(self, kind: str) -> None:
        """Let the time pass that this kind of entry (retry, check, deadline, final) waits for."""
        due = [one for one in self.client.zrange(f"{self.root}due", 0, -1) if one.decode().startswith(f"{kind}:")]
        if due:
            self.client.zadd(f"{self.root}due", dict.fromkeys(due, 0))

    def probes_grow_old(self, seconds: float) -> None:
        """Let all that concerns probes be so much longer ago."""
        by_us, site = round(seconds * SECOND_US), f"{self.root}site"
        self.probes = [probe - by_us for probe in self.probes]
        for field, value in self.client.hgetall(site).items():
            if field.startswith(b"probe|"):
                *times, in_vain = value.decode().split("|")
                shifted = [str(max(0, int(time) - by_us)) for time in times]
                self.client.hset(site, field, "|".join([*shifted, in_vain]))
        for key in self.client.scan_iter(f"{self.root}run:*"):
            for field, value in self.client.hgetall(key).items():
                if field.startswith(b"pub") and len(value) > 1:
                    self.client.hset(key, field, int(value) - by_us)

    def time_passes(self, seconds: float, step: str = "Fetch") -> None:
        """Let the last starts of a step with a rate be so much longer ago, and its line be looked at."""
        key = f"{self.root}starts:{step}"
        for at, start in enumerate(self.client.lrange(key, 0, -1)):
            self.client.lset(key, at, int(start) - round(seconds * SECOND_US))
        self.bring_due("line")
        self.tick()

    # what can be seen ---------------------------------------------------------------------------------------------

    def outcomes(self, run: str) -> None:
        record = self.ledger.read(run)
        told = [json.loads(text) if text else None for text in record.outcomes]
        self.tell(
            f"read {run}: {'settled' if record.is_settled else 'open'}, {record.left} left;", *map(_outcome, told)
        )

    def outcome(self, run: str, index: int) -> None:
        """Tell the text of one outcome, the completion body's too."""
        outcome = json.loads(self.client.hget(f"{self.root}run:{run}", f"o{index}"))
        error = outcome.get("error", {"type": "no error", "message": "no message"})
        self.tell(f"outcome {run}:{index}: {_outcome(outcome)}, {outcome.get('attempts', 0)} attempts;", error["type"])
        self.tell(error["message"])

    def outcomes_in_short(self, run: str) -> None:
        """Tell how many steps ended how, for runs of many."""
        record = self.ledger.read(run)
        counts: dict[str, int] = {}
        for first in range(0, 10_000, 500):
            for text in self.ledger.read(run, first=first).outcomes:
                told = _outcome(json.loads(text) if text else None)
                counts[told] = counts.get(told, 0) + 1
        self.tell(f"read {run}: {'settled' if record.is_settled else 'open'}, {record.left} left;", counts)

    def states(self, run: str) -> None:
        record = self.client.hgetall(f"{self.root}run:{run}")
        steps = sorted(
            (int(name[1:]), text) for name, text in record.items() if name[:1] == b"s" and name[1:].isdigit()
        )
        for index, text in steps:
            state, attempts, deaths, failures, *_ = text.decode().split("|")
            self.tell(f"{run}:{index} is {state} #{attempts}, died {deaths}, failed {failures}")

    def limits(self, step: str = "Fetch") -> None:
        """Tell who has a place of a step, and who waits in line for one or for its start."""
        places = sorted(one.decode() for one in self.client.smembers(f"{self.root}places:{step}"))
        line = [one.decode() for one in self.client.zrange(f"{self.root}held:{step}", 0, -1)]
        self.tell(f"places of {step}:", " ".join(places) or "free", "in line:", " ".join(line) or "nobody")

    def status(self, run: str, *fields: str) -> None:
        """Tell these fields of a run's facts that are not empty, and what it waits for: step/failures."""
        (facts,) = self.ledger.status([run])
        if facts is None:
            return self.tell(f"status of {run}: gone")
        told = [f"{name}={facts.plain[name]}" for name in fields if facts.plain.get(name)]
        told += [f"unclaimed on {queue}" for queue in facts.unclaimed]
        waits = [
            "place" if one.waits_for_place else "start" if one.waits_for_start else "time" for one in facts.delayed
        ]
        for wait in sorted(set(waits)):
            steps = [one for one, what in zip(facts.delayed, waits, strict=True) if what == wait]
            told.append(f"{wait} for {' '.join(f'{one.index}/{one.failures}' for one in steps)}")
        return self.tell(f"status of {run}:", ", ".join(told) or "nothing to say")

    def counts(self, *hidden: str) -> None:
        """Tell the statistics of the site and of each step, but for times and for what is hidden."""
        told = {
            name: count for name, count in sorted(self.ledger.site.counts().items()) if name not in (*TIMES, *hidden)
        }
        outcomes = {name: told.pop(name) for name in STATUSES if name in told}
        self.tell("outcomes:", *[f"{name} {count}" for name, count in outcomes.items()])
        self.tell("site:", *[f"{name} {count}" for name, count in told.items() if not re.fullmatch(r"b\d+", name)])
        for step, counts in sorted(self.ledger.site.step_counts().items()):
            self.tell(f"step {step}:", *[f"{name} {count}" for name, count in sorted(counts.items())])

    def line(self, *lanes: str) -> None:
        for lane in lanes:
            line = [name.decode() for name in self.client.zrange(f"{self.root}lane:{lane}", 0, -1)]
            holder = (self.client.hget(f"{self.root}lanes", lane) or b"nobody|").partition(b"|")[0].decode()
            self.tell(f"lane {lane}:", *line or ["empty"], f"(held by {holder})")

    def events(self, run: str) -> None:
        entries = [entry for _, entry in self.client.xrange(f"{self.root}events:{run}")]
        for entry in entries:
            self.tell(f"event of {run}:", *self._event(entry))

    def pending(self) -> None:
        pending = {queue.decode(): int(count) for queue, count in self.client.hgetall(f"{self.root}pending").items()}
        self.tell("pending:", dict(sorted(pending.items())))

    def notices(self, inbox: str) -> None:
        for text in self.client.lrange(f"{self.root}inbox:{inbox}", 0, -1):
            notice = json.loads(text)
            outcomes = notice.get("outcomes")
            told = "no outcomes" if outcomes is None else " ".join(_outcome(one) for one in outcomes)
            self.tell(f"notice to {inbox}: {notice['run']};", told)

    def left_over(self) -> None:
        """Tell what is in Redis beside runs, workers and the site itself, once all that waits was brought due."""
        for kind in ("retry", "check", "sweep", "deadline", "final", "again", "line", "limit", "stepout"):
            self.bring_due(kind)
        self.ledger.tick(Beat())
        keys = sorted(key.decode().removeprefix(self.root) for key in self.client.keys(f"{self.root}*"))
        kept = (
            "site",
            "run:",
            "events:",
            "worker",
            "queue:",
            "known",
            "pending",
            "inbox:",
            "alive:",
            "closed_runs",
            "stats",
            "step_stats",
        )
        self.tell("left over:", *[key for key in keys if not key.startswith(kept)] or ["nothing"])

    def expiry(self, run: str) -> None:
        told = {kind: self.client.ttl(f"{self.root}{kind}:{run}") > 0 for kind in ("run", "events")}
        self.tell(f"{run} expires:", told)

    # wording ------------------------------------------------------------------------------------------------------

    def fence(self, fence: int) -> str:
        return self._fences.setdefault(fence, f"f{len(self._fences) + 1}")

    def _claimed(self, claimed: Claimed) -> str:
        if not claimed.steps:
            return "nothing"
        steps = [
            f"{one.index} {self.fence(one.fence)} #{one.attempt} after {one.failures}{' suspect' * one.is_suspect}"
            for one in claimed.steps
        ]
        return ", ".join(steps) + ("; more" if claimed.has_more else "")

    def _fates(self, run: str, fates: Sequence[StepFate]) -> str:
        words = {"S": "", "R": "retry", "P": "park", "B": "give back"}
        told = [(fate, words[fate.kind] or fate.argument.replace("succeeded", "ok")) for fate in fates]
        return ", ".join(f"{run}:{fate.index} {self.fence(fate.fence)} {word}" for fate, word in told)

    @staticmethod
    def _settled(settled: Settled) -> str:
        told = ["yes" if accepted else "no" for accepted in settled.accepted]
        more = f"; more of {', '.join(settled.unfinished)}" if settled.unfinished else ""
        return f"{', '.join(told)}; {_ready(settled.ready)}{more}"

    def _event(self, entry: dict[bytes, bytes]) -> Iterator[str]:
        yield entry[b"event"].decode()
        if b"step" in entry:
            yield entry[b"step"].decode()
            yield f"#{entry[b'attempt'].decode()}"
            yield self.fence(int(entry[b"fence"])) if entry[b"fence"] != b"0" else "-"
            yield entry[b"worker"].decode() or "-"
        if b"status" in entry:
            yield entry[b"status"].decode()


def _ready(parcels: Sequence[Ready]) -> str:
    told = [f"{one.run_id}/{one.parcel} to {one.queue}{f' x{one.copies}' * (one.copies > 1)}" for one in parcels]
    return f"publish {', '.join(told)}" if told else "publish nothing"


def _outcome(outcome: dict[str, Any] | None) -> str:
    if outcome is None:
        return "-"
    return str(outcome["status"])


@dataclass(frozen=True)
class Scenario:
    """A story and what a ledger must answer."""

    name: str
    play: Callable[[Story], None]
    settings: dict[str, Any]
    expected: tuple[str, ...]

    def __str__(self) -> str:
        return self.name

    def told_by(self, client: Any) -> tuple[str, ...]:
        """Play it on a Redis, which is emptied first."""
        client.flushall()
        story = Story(client, **self.settings)
        self.play(story)
        return tuple(story.lines)


SCENARIOS: list[Scenario] = []


def scenario(expected: str, **settings: Any) -> Callable[[Callable[[Story], None]], Callable[[Story], None]]:
    """Add a function that plays a story to the scenarios; ``expected`` are the lines it must tell."""

    def add(play: Callable[[Story], None]) -> Callable[[Story], None]:
        lines = tuple(line.strip() for line in expected.strip().splitlines())
        SCENARIOS.append(Scenario(play.__name__, play, settings, lines))
        return play

    return add
