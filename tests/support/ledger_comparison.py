"""Compares what Redis holds of a site with the model, and every change with the tables of steps.ledger.states."""

from collections import Counter
from typing import Any

from steps.ledger.states import LANE_LIFE, START_OF_LANE, START_OF_STEP, STEP_LIFE
from steps.outcome import STATUSES
from tests.support.ledger_model import ModelSite
from tests.support.ledger_model_run import LANES, MAX_RUNNING, NOT_STARTED, ModelRun
from tests.support.ledger_sight import LaneSight, Record, events_between, lane_events, state_of_lane, state_of_step

QUEUES = ("critical", "parallel", "other")

Walked = set[tuple[str, str, str]]
"""(step or lane, state, event): rows of the tables that were seen to be taken."""


class Comparison:
    """Looks at Redis again and again, and remembers what it saw last."""

    def __init__(self, site: ModelSite, client: Any, root: str, walked: Walked) -> None:
        self.site = site
        self.client = client
        self.root = root
        self.walked = walked
        self.steps_seen: dict[tuple[str, int], str] = {}
        self.lanes_seen = {lane: LaneSight(START_OF_LANE, ()) for lane in LANES}

    def check(self, *, steps: frozenset[str], lanes: frozenset[str]) -> None:
        """Fail where Redis and the model differ, or where these events of the tables do not explain a change."""
        runs, workers = list(self.site.runs.values()), list(self.site.claims)
        look = self.client.pipeline(transaction=False)
        for name in (*(f"run:{run.name}" for run in runs), "pending", *(f"claims:{worker}" for worker in workers)):
            look.hgetall(self.root + name)
        for lane in LANES:
            look.zrange(f"{self.root}lane:{lane}", 0, -1)
        seen = look.execute()
        self._compare_limits()
        self._compare_counts([seen[at] for at in range(len(runs))])
        records = {run.name: record for run, record in zip(runs, seen, strict=False)}
        for run in runs:
            self._compare_run(run, records[run.name])
            for index in range(len(run.steps)):
                self._compare_step(run, index, records[run.name], steps)
        for lane, line in zip(LANES, seen[-len(LANES) :], strict=True):
            self._compare_lane(lane, [name.decode() for name in line], records, lanes)
        self._compare_pending(seen[len(runs)])
        for worker, claims in zip(workers, seen[len(runs) + 1 :], strict=False):
            self._compare_claims(worker, claims)

    def _compare_run(self, run: ModelRun, record: Record) -> None:
        assert record[b"state"].decode() == run.phase, run
        assert int(record[b"left"]) == run.left, run
        assert int(record.get(b"running", 0)) == run.running, run
        for index, step in enumerate(run.steps):
            outcome = record.get(b"o%d" % index)
            assert (outcome is None) == (step.status is None), (run.name, index, step)
            if outcome is not None:
                assert run.fixed.setdefault(index, outcome) == outcome
                assert f'"status":"{step.status}"'.encode() in outcome

    def _compare_step(self, run: ModelRun, index: int, record: Record, events: frozenset[str]) -> None:
        step, key = run.steps[index], (run.name, index)
        before, seen = self.steps_seen.get(key, START_OF_STEP), state_of_step(record, run.parcels, index)
        if seen != before:
            self.walked.update(("step", *way) for way in events_between(STEP_LIFE, before, seen, events))
        self.steps_seen[key] = seen
        if (text := record.get(b"s%d" % index)) is not None:
            assert int(text.split(b"|")[2]) == step.deaths, (run, index)
        if step.state in NOT_STARTED:
            assert seen in {"waiting", "ready", "published"}, (run, index)
            assert (seen != "waiting") == (step.state == "ready" or self.site.is_reached(run, index)), (run, index)
        else:
            assert seen == step.state, (run, index)

    def _compare_lane(self, lane: str, line: list[str], records: dict[str, Record], events: frozenset[str]) -> None:
        assert line == self.site.lines[lane], lane
        spans = {run.name: run.parcels for run in self.site.runs.values()}
        seen = LaneSight(state_of_lane(lane, line, records, spans), tuple(line))
        self.walked.update(("lane", *way) for way in lane_events(LANE_LIFE, self.lanes_seen[lane], seen, events))
        self.lanes_seen[lane] = seen

    def _compare_pending(self, pending: Record) -> None:
        unsettled = [step.queue for run in self.site.runs.values() for step in run.plain if step.status is None]
        for queue in QUEUES:
            assert int(pending.get(queue.encode(), 0)) == unsettled.count(queue), queue

    def _compare_limits(self) -> None:
        for name, most in MAX_RUNNING.items():
            places = {place.decode() for place in self.client.smembers(f"{self.root}places:{name}")}
            line = [claim.decode() for claim in self.client.zrange(f"{self.root}held:{name}", 0, -1)]
            assert len(places) <= most, name
            assert places == {f"{run}:{index}" for run, index in self.site.places[name]}, name
            assert line == [f"{run}:{index}" for _, (run, index) in self.site.waiting[name]], name

    def _compare_counts(self, records: list[Record]) -> None:
        """Statistics are the outcomes, counted: over the site, in each run, and for each step."""
        runs = list(self.site.runs.values())
        settled = [step for run in runs for step in run.plain if step.status is not None]
        counts = self.client.hgetall(f"{self.root}stats")
        for status in STATUSES:
            assert int(counts.get(status.encode(), 0)) == sum(step.status == status for step in settled), status
        assert int(counts.get(b"runs", 0)) == sum(run.left == 0 for run in runs)
        for run, record in zip(runs, records, strict=True):
            tally = [sum(step.status == status for step in run.plain) for status in STATUSES]
            assert record.get(b"tally", b"0|0|0|0|0|0").decode() == "|".join(map(str, tally)), run
        by_step = Counter(f"{step.status}|{step.name}" for step in settled)
        assert {name.decode(): int(n) for name, n in self.client.hgetall(f"{self.root}step_stats").items()} == by_step

    def _compare_claims(self, worker: str, claims: Record) -> None:
        held = {f"{name}:{index}": fence for (name, index), fence in self.site.claims[worker].items()}
        assert {claim.decode(): int(fence) for claim, fence in claims.items()} == held, worker
