"""A model of runs, steps, lanes and claims after the tables of steps.ledger.states: what each verb must bring about."""

from steps.ledger.records import ParcelRange
from steps.ledger.states import START_OF_STEP, after
from tests.support.ledger_model_limits import ModelLimits
from tests.support.ledger_model_run import NOT_STARTED, ModelRun, ModelStep

MAX_DEATHS = 3

GIVEN_BACK = {"retry": "retry", "long_retry": "retry", "park": "park", "release": "release"}
"""Fates that are no outcome, and the events of the table that they are."""

STEPS_OUT = frozenset({"long_retry", "park"})


class ModelSite(ModelLimits):
    """All runs, the lines of the lanes, and what each worker has claimed."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: dict[str, dict[tuple[str, int], int]] = {}
        self.asked: dict[str, list[tuple[str, int]]] = {}
        self.last_fence = 0

    def join(self, worker: str) -> None:
        self.claims[worker], self.asked[worker] = {}, []

    def open(self, run: ModelRun) -> None:
        self.runs[run.name] = run
        for lane in run.lanes_ahead():
            self.lines[lane].append(run.name)
        self.tidy(run)

    # claiming -----------------------------------------------------------------------------------------------------

    def standing(self, run: ModelRun, parcel: int) -> str:
        """Say why a parcel would be granted to a live worker, or why not."""
        if run.phase != ("body" if run.is_body(parcel) else "open") or run.stop:
            return "ended"
        if run.paused:
            return "paused"
        span = run.parcels[parcel]
        if not span.lane:
            return self._parallel_standing(run, span)
        current = run.current()
        if run.holding() is not None:
            return "held"
        if current is None or not span.first <= current <= span.last or run.steps[current].state == "delayed":
            return "early"
        return "granted" if self.lines[span.lane][0] == run.name else "in line"

    @staticmethod
    def _parallel_standing(run: ModelRun, span: ParcelRange) -> str:
        if not run.gate_is_open():
            return "gate"
        if not any(step.state in NOT_STARTED for step in run.steps[span.first : span.last + 1]):
            return "taken"
        return "granted" if run.running < run.max_concurrency else "full"

    def claim(self, run: ModelRun, parcel: int, worker: str, want: int) -> list[int]:
        """Return the steps that a claim must be granted; those that there is no room for are held back."""
        standing = self.standing(run, parcel)
        if worker not in self.claims or standing not in {"granted", "taken"}:
            return []
        if not run.parcels[parcel].lane:
            return self._claim_parallel(run, parcel, min(want, run.max_concurrency - run.running))
        current = run.current()
        return [current] if want > 0 and current is not None and self.has_room(run, current) else []

    def _claim_parallel(self, run: ModelRun, parcel: int, want: int) -> list[int]:
        taken: list[int] = []
        given_back, cursor = run.given_back(parcel), run.cursor(parcel)
        while len(taken) < want and given_back:
            index = given_back.pop(0)
            if run.steps[index].state == "ready" and self.has_room(run, index):
                taken.append(index)
        while len(taken) < want and cursor <= run.parcels[parcel].last:
            if run.steps[cursor].state in NOT_STARTED and self.has_room(run, cursor):
                taken.append(cursor)
            cursor += 1
        run.cursors[parcel] = cursor
        return taken

    def is_reached(self, run: ModelRun, index: int) -> bool:
        """Whether a step that has not started may be published."""
        step = run.steps[index]
        if step.critical:
            return run.current() == index and self.standing(run, run.parcel_of(index)) == "granted"
        if run.has_body and index == run.size:
            return run.phase == "body"
        return run.gate_is_open()

    def take(self, run: ModelRun, index: int, worker: str, fence: int) -> None:
        """Note a claim that was granted."""
        step = run.steps[index]
        assert step.state in NOT_STARTED, step
        assert fence > self.last_fence
        step.state = after("ready", "claim")
        step.fence, step.worker = fence, worker
        step.starts += 1
        self.last_fence = fence
        self.claims[worker][run.name, index] = fence

    # what becomes of claims ---------------------------------------------------------------------------------------

    def settle(self, run: ModelRun, index: int, kind: str) -> None:
        step = run.steps[index]
        step.starts -= kind == "park"  # its code never began
        keeps_lane = kind == "settle_only" and step.critical
        if not keeps_lane:
            del self.claims[step.worker][run.name, index]
        if kind in GIVEN_BACK and self._end_of(run, step):
            step.end("settle", self._end_of(run, step))
        elif kind in GIVEN_BACK:
            step.go(GIVEN_BACK[kind])
            step.failures += kind in {"retry", "long_retry"}
            step.waits_long = kind == "long_retry"
            run.away = run.away or (step.critical and kind in STEPS_OUT)
        else:
            step.end("settle_only" if keeps_lane else "settle", "failed" if kind == "failed" else "succeeded")
        if not keeps_lane:
            self.give_place(run, index)
        if step.state == "ready":
            run.give_back(index)
        self.follow(run, index)

    @staticmethod
    def _end_of(run: ModelRun, step: ModelStep) -> str:
        """How a step ends that was stopped while it ran; empty for one that was not."""
        return run.stop or ("cancelled" if step.is_cancelled else "")

    def vacate(self, run: ModelRun, index: int, event: str = "vacate") -> None:
        step = run.steps[index]
        del self.claims[step.worker][run.name, index]
        step.go(event)
        self.give_place(run, index)
        self.tidy(run)

    def take_back(self, worker: str, claim: tuple[str, int], *, announced: bool = False, alone: bool = False) -> None:
        """A claim comes back: announced, or by a death, of the step alone or of the worker with all that it ran."""
        run, index = self.runs[claim[0]], claim[1]
        step = run.steps[index]
        if step.state == "settled":
            return self.vacate(run, index, "reap")
        del self.claims[worker][claim]
        counts = alone or step.critical
        step.deaths += counts and not announced
        step.is_suspect = step.is_suspect or not (counts or announced)
        step.go("release" if announced else "reap")
        if end := self._end_of(run, step):
            step.end("stop", end)
        elif step.deaths >= MAX_DEATHS:
            step.state, step.status = after("running", "reap_at_limit"), "lost"
        self.give_place(run, index)
        if step.state == "ready":
            run.give_back(index)
        return self.follow(run, index)

    def take_back_all(self, worker: str, *, announced: bool = False) -> None:
        for claim in list(self.claims[worker]):
            self.take_back(worker, claim, announced=announced)
        self.asked[worker] = []

    def stop(self, run: ModelRun, status: str) -> None:
        if run.phase != "open" or run.stop:
            return
        run.stop = status
        for index, step in enumerate(run.plain):
            if step.state == "running":
                self.asked[step.worker].append((run.name, index))
            elif step.status is None:
                step.end("stop", status)
                self.leave_line(run, index)
        self.tidy(run)

    def cancel_step(self, run: ModelRun, index: int) -> None:
        step = run.steps[index]
        if run.phase != "open" or run.stop:
            return
        if step.state == "running":
            step.is_cancelled = True
            self.asked[step.worker].append((run.name, index))
        elif step.status is None:
            step.end("stop", "cancelled")
            self.leave_line(run, index)
            self.follow(run, index)
            current = run.current()
            if run.away and not run.paused and current is not None and run.steps[current].state != "delayed":
                self.come_back(run)

    def pause(self, run: ModelRun) -> None:
        run.paused = run.paused or (run.phase == "open" and not run.stop)
        self.tidy(run)

    def resume(self, run: ModelRun) -> None:
        """Let a paused run go on; one whose next step waits for long or for a place comes back with that step."""
        if run.phase == "open" and run.paused:
            run.paused, current = False, run.current()
            step = None if current is None else run.steps[current]
            if run.away and step is not None and not (step.state == "delayed" and (step.waits_long or step.is_held)):
                self.come_back(run)
        self.tidy(run)

    def end_grace(self, run: ModelRun) -> None:
        for step in run.plain:
            if step.state == "running":
                step.end("stop", run.stop or "")
        self.tidy(run)

    def due(self) -> None:
        """All waits for a retry are over, in the order of the names that the ledger keeps them under."""
        late = [(f"retry:{r.name}:{i}", r, i) for r in self.runs.values() for i in self._delayed(r, is_held=False)]
        for _, run, index in sorted(late, key=lambda one: one[0]):
            run.steps[index].go("due")
            run.give_back(index)
            if run.steps[index].critical and run.away and not run.paused:
                self.come_back(run)

    def step_out(self) -> None:
        """All critical steps that wait for a place have waited so long that the runs behind may pass."""
        for run in self.runs.values():
            run.away = run.away or any(run.steps[index].critical for index in self._delayed(run, is_held=True))
            self.tidy(run)

    @staticmethod
    def _delayed(run: ModelRun, *, is_held: bool) -> list[int]:
        steps = enumerate(run.steps)
        return [index for index, step in steps if step.state == "delayed" and step.is_held == is_held]

    # what follows -------------------------------------------------------------------------------------------------

    def follow(self, run: ModelRun, index: int) -> None:
        step = run.steps[index]
        has_failed = step.status not in {None, "succeeded"}
        if step.critical and index < run.size and has_failed and run.stops_at_failure and not run.stop:
            for at, later in enumerate(run.plain):
                if at > index and later.critical and later.status is None:
                    later.end("stop", "skipped")
                    self.leave_line(run, at)
        self.tidy(run)

    def tidy(self, run: ModelRun) -> None:
        """Leave the lanes that are done with, and begin the completion body when the last step has settled."""
        if run.left == 0 and run.has_body and run.steps[-1].state == START_OF_STEP and not run.body_in_line:
            if run.stop == "cancelled":
                run.steps[-1].end("stop", "cancelled")
            run.stop, run.paused = None, False
        if run.paused and run.phase == "open" and run.holding() is None and run.current() is not None:
            run.away = True
        ahead = run.lanes_ahead()
        for lane, line in self.lines.items():
            if run.name in line and lane not in ahead:
                line.remove(run.name)
        if run.phase == "body" and run.steps[-1].critical and run.holding() is None and not run.body_in_line:
            run.body_in_line, run.away = True, False
            self.lines[run.steps[-1].lane].append(run.name)
