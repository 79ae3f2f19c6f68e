"""A steady load of runs on a site under fire, and what is left of it in the end, in numbers."""

import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock, Thread

from producer import Run
from steps.errors import RunLost, RunUnknown, SteplineError, SubmitUnknown
from tests.support.fault_checker import violations
from tests.support.fault_evidence import Evidence
from tests.support.fault_sites import FaultSite

ASK_AGAIN_S = 0.2
LANES = ("", "", "east", "west")
"""Half of the critical steps are in the site's one lane."""


@dataclass(slots=True)
class Load:
    """Submits mixed runs until it is told to stop; refused ones are not counted, as nobody promised them anything.

    Args:
        site: Where.
        seed: Of what the runs look like.
        pause_s: Between two runs.
    """

    site: FaultSite
    seed: int
    pause_s: float
    _over: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)
    _thread: Thread | None = None
    unknown: list[str] = field(default_factory=list)

    def start(self) -> "Load":
        """Begin, on a thread."""
        self._thread = Thread(target=self._submit_all, daemon=True)
        self._thread.start()
        return self

    def finish(self, timeout_s: float) -> list[str]:
        """Submit no more; wait for what was accepted. Returns the runs that did not settle."""
        self._over.set()
        assert self._thread is not None
        self._thread.join()
        self._find_unknown()
        until_s = time.monotonic() + timeout_s
        return [run.id for run in self.site.runs if not self._gather(run, until_s)]

    def _submit_all(self) -> None:
        rng = random.Random(self.seed)
        while not self._over.wait(self.pause_s):
            lane = rng.choice(LANES)
            steps = [self.site.write(lane=lane, seconds=rng.uniform(0, 0.08)) for _ in range(rng.randint(1, 3))]
            steps += [self.site.read(seconds=rng.uniform(0, 0.6)) for _ in range(rng.randint(1, 4))]
            try:
                self.site.submit(steps, order=rng.choice(("critical_first", "overlap")))
            except SubmitUnknown as error:
                self.unknown.append(error.run_id)
            except SteplineError:
                continue

    def _find_unknown(self) -> None:
        """Of those that may have been accepted, those that were count as all others do."""
        for run_id in self.unknown:
            with suppress(RunUnknown):
                self.site.runs.append(self.site.producer.attach(run_id))

    def _gather(self, run: Run, until_s: float) -> bool:
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                self.site.keep(run, run.gather(timeout=left_s))
            except (RunLost, RunUnknown):
                return False
            except SteplineError:
                time.sleep(ASK_AGAIN_S)
            else:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Figures:
    """What is left: counts of steps, violations by kind, and how long the slowest step waited after a death."""

    total: int
    survived: int
    lost: int
    doubled: int
    overlaps: int
    others: int
    recoveries_s: tuple[float, ...]

    @property
    def slowest_s(self) -> float:
        """The slowest recovery; 0 where there was none."""
        return max(self.recoveries_s, default=0.0)

    @property
    def share(self) -> float:
        """How much of all survived."""
        return self.survived / self.total if self.total else 0.0


def figures_of(evidence: Evidence) -> tuple[Figures, list[str]]:
    """Return the figures, and the sentences that say what is wrong."""
    found = violations(evidence)
    kinds = [sentence[0] for sentence in found]
    settled = [outcome for run in evidence.runs for outcome in run.ledger or ()]
    doubled = sum("times" in sentence or "more than once" in sentence for sentence in found if sentence[0] in "AF")
    lost = kinds.count("G") + sum("has not settled" in sentence for sentence in found)
    overlaps = kinds.count("C")
    figures = Figures(
        total=sum(len(run.calls) for run in evidence.runs),
        survived=sum(outcome.status == "succeeded" for outcome in settled),
        lost=lost,
        doubled=doubled,
        overlaps=overlaps,
        others=len(found) - lost - doubled - overlaps,
        recoveries_s=recoveries(evidence),
    )
    return figures, found


def recoveries(evidence: Evidence) -> tuple[float, ...]:
    """Return how long each step that ran in a process that died waited for its next attempt, shortest first."""
    waits = []
    for (run, step, fence), lines in evidence.attempts.items():
        for death in evidence.deaths:
            if lines[-1].pid in death.pids and lines[0].start_s <= death.at_s:
                later = [line.start_s for line in evidence.began(run, step) if line.fence > fence]
                waits += [later[0] - death.at_s] if later and later[0] > death.at_s else []
    return tuple(sorted(waits))
