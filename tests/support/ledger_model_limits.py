"""The limits over the site in the model: who has a place, who is in line for one, and whom a free one goes to."""

from bisect import insort

from steps.ledger.states import after
from tests.support.ledger_model_run import LANES, MAX_RUNNING, ModelRun

Claim = tuple[str, int]


class ModelLimits:
    """Places and lines of the steps with limits, on the runs and lanes of a site."""

    def __init__(self) -> None:
        self.runs: dict[str, ModelRun] = {}
        self.lines: dict[str, list[str]] = {lane: [] for lane in LANES}
        self.places: dict[str, set[Claim]] = {name: set() for name in MAX_RUNNING}
        self.waiting: dict[str, list[tuple[int, Claim]]] = {name: [] for name in MAX_RUNNING}
        self._clock = 0

    def kept_places(self) -> list[Claim]:
        """Return the steps for which a place is kept that they have not taken up, in the order of their names."""
        taken = [claim for places in self.places.values() for claim in places]
        return sorted((one for one in taken if self._state(one) == "ready"), key=lambda one: f"{one[0]}:{one[1]}")

    def has_room(self, run: ModelRun, index: int) -> bool:
        """Whether a step may start, as a claim asks; one that may not is held back."""
        step, claim = run.steps[index], (run.name, index)
        if step.most is None:
            return True
        places = self.places[step.name]
        if claim in places or len(places) < step.most:
            places.add(claim)
            step.held_since = 0
            return True
        if not step.held_since:
            self._clock += 1
            step.held_since = self._clock
        step.state, step.is_held = after("ready", "hold_back"), True
        insort(self.waiting[step.name], (step.held_since, claim))
        return False

    def give_place(self, run: ModelRun, index: int) -> None:
        """Free the place of a step, if it has one, for those in line."""
        name, claim = run.steps[index].name, (run.name, index)
        if claim in self.places.get(name, ()):
            self.places[name].remove(claim)
            self._move_line(name)

    def leave_line(self, run: ModelRun, index: int) -> None:
        """A step has ended that had not started."""
        step = run.steps[index]
        if step.most is not None:
            step.is_held = False
            self.waiting[step.name] = [one for one in self.waiting[step.name] if one[1] != (run.name, index)]
            self.give_place(run, index)

    def come_back(self, run: ModelRun) -> None:
        """Let a run that has stepped out of its lanes enter them again, at the end of the line."""
        run.away = False
        for lane in run.lanes_ahead():
            self.lines[lane].append(run.name)

    def _move_line(self, name: str) -> None:
        line = self.waiting[name]
        while line:
            claim = line[0][1]
            run = self.runs[claim[0]]
            if not run.stop and self._state(claim) == "delayed":
                if len(self.places[name]) >= MAX_RUNNING[name]:
                    return
                if self._let_in(run, claim[1]):
                    self.places[name].add(claim)
            line.pop(0)

    def _let_in(self, run: ModelRun, index: int) -> bool:
        """Offer a held step again; returns whether it can start at once, so that a place is kept for it."""
        step = run.steps[index]
        step.go("due")
        step.is_held = False
        if not step.critical:
            run.give_back(index)
            return not run.paused and run.running < run.max_concurrency
        if run.paused:
            return False
        if run.away:
            self.come_back(run)
        return self.lines[step.lane][0] == run.name

    def _state(self, claim: Claim) -> str:
        return self.runs[claim[0]].steps[claim[1]].state
