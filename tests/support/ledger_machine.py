"""Random verbs in random order against the ledger; the model says what each must answer, the tables what may change."""

import time
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from steps.ledger.records import Beat
from tests.support.ledger_honest_end import HonestEnd
from tests.support.ledger_model_run import ModelRun, plan_of
from tests.support.ledger_rig import FOLLOWS, LANE_FOLLOWS, WORKERS
from tests.support.ledger_troubles import Troubles

MOST_OPEN_RUNS = 2
MOST_RUNS = 5
HOUR_US = 3_600_000_000
FAR_FUTURE_MS = 1 << 50

SHAPES = [
    [],
    ["a"],
    ["b"],
    ["a", "a", "a"],
    ["a", "b", "a"],
    ["a", "b", "a", "b"],
    ["b", "a"],
    ["a", "parallel", "parallel"],
    ["b", "a", "parallel"],
    ["a", "b", "parallel", "parallel"],
    ["a", "a", "parallel", "other", "other"],
    ["parallel"] * 5,
    ["parallel", "parallel", "other"],
]
NAMES = [("Plain",), ("Plain",), ("One",), ("Two",), ("Plain", "One"), ("One", "Two")]
"""What the steps of a run are called, by turns: how many run at once goes by the name."""

BODIES = [None, None, None, "parallel", "a", "b"]

ENDINGS = ["ok", "ok", "failed", "retry", "park", "release", "stale"]
LANE_ENDINGS = [*ENDINGS, "settle_only", "settle_only", "long_retry"]

# Which events of the tables a fate may bring about.
ENDS = frozenset({"settle", "settle_only", "stop", "pass"})
FATE_EVENTS = {
    "retry": frozenset({"retry"}),
    "long_retry": frozenset({"retry"}),
    "park": frozenset({"park"}),
    "release": frozenset({"release", "publish"}),  # whoever runs others of its parcel claims it: no message is needed
    "stale": frozenset(),
}


class LedgerMachine(Troubles, HonestEnd):
    @rule(data=st.data())
    def something_happens(self, data: Any) -> None:
        """One rule for all verbs, so that how often each comes is ours to say."""
        self.data = data
        weights = self._weights()
        verb = data.draw(
            st.sampled_from([verb for verb, weight in weights.items() for _ in range(weight)]), label="verb"
        )
        self.is_sound = False
        getattr(self, verb)()
        self.is_sound = True

    def _weights(self) -> dict[str, int]:
        """Return the verbs, each with its weight: 0 where it makes no sense now."""
        open_runs = [run for run in self.runs if run.phase == "open"]
        has_room = len(self.runs) < MOST_RUNS and len(open_runs) < MOST_OPEN_RUNS
        has_line = any(len(line) > 1 for line in self.site.lines.values())
        is_granted, is_running = bool(self._granted()), bool(self._in_state("running"))
        is_settled = bool(self._in_state("settled"))
        return {
            "open": 6 * has_room,
            "claim": bool(self.runs) + 2 * bool(open_runs),
            "claim_granted": 6 * is_granted,
            "trouble_thrice": is_granted,
            "settle": 10 * is_running,
            "vacate": 4 * is_settled,
            "trouble": 3 * (is_running or is_settled),
            "retries_fall_due": 3 * any(not run.steps[at].is_held for run, at in self._in_state("delayed")),
            "stop": bool(open_runs) * (1 + 2 * has_line),
            "pause": bool(self._may_be_paused()),
            "resume": 8 * any(run.paused for run in open_runs),
            "the_grace_ends": 3 * any(run.stop for run in open_runs),
            "cancel_a_step": 2 * bool(open_runs),
            "places_are_not_taken_up": 2 * bool(self.site.kept_places()),
            "waits_for_places_grow_long": any(self.site.waiting.values()),
            "tick": 1,
            "the_clock_is_set_back": 1,
            "the_site_comes_back_older": self.site.last_fence < self._now_us(),
        }

    def open(self) -> None:
        kinds, body, names = self._draw(SHAPES), self._draw(BODIES), self._draw(NAMES)
        shape = {
            "max_concurrency": self._draw([1, 2, 3]),
            "critical_first": self._draw([True, True, False]),
            "stops_at_failure": self._draw([True, False]),
        }
        model, run = plan_of(f"r{len(self.runs)}", kinds, body, shape, names)
        with self._comparing(steps=FOLLOWS, lanes=LANE_FOLLOWS):
            self.messages += self.ledger.open(run).ready
            again = self.ledger.open(run)
            assert not again.created
            assert not again.ready
            self.site.open(model)

    def claim(self) -> None:
        """Claim what is to be refused, for whatever reason there is."""
        by_standing: dict[str, list[tuple[ModelRun, int]]] = {}
        for run, parcel in self._parcels():
            by_standing.setdefault(self.site.standing(run, parcel), []).append((run, parcel))
        if by_standing:
            run, parcel = self._draw(by_standing[self._draw(sorted(by_standing))])
            self._claim(run, parcel, self._draw([*WORKERS, "ghost"]), self._draw([0, 1, 2]))

    def claim_granted(self) -> None:
        self._claim(*self._draw(self._granted()), self._draw(WORKERS), self._draw([1, 2, 5]))

    def settle(self) -> None:
        run, index = self._draw(self._in_state("running"))
        step, parcel = run.steps[index], run.parcel_of(index)
        kind, want = self._draw(LANE_ENDINGS if step.critical else ENDINGS), self._draw([0, 1, 2])
        fate = self._fate(index, step.fence - 1 if kind == "stale" else step.fence, kind)
        goes_on = want > 0 and kind != "settle_only"
        own = FATE_EVENTS.get(kind, ENDS) | (ENDS if run.stop or step.is_cancelled else frozenset())
        more = frozenset({"claim", "publish", "hold_back"} if goes_on else ())
        with self._comparing(steps=FOLLOWS | own | more, lanes=LANE_FOLLOWS | own | more):
            if goes_on:
                settled = self.ledger.settle_and_claim_next(run.name, parcel, [fate], worker=step.worker, want=want)
            else:
                is_vacated = kind != "settle_only"
                settled = self.ledger.settle(run.name, parcel, [fate], worker=step.worker, vacated=is_vacated)
            assert settled.accepted == (kind != "stale",)
            self.messages += settled.ready
            if kind != "stale":
                self.site.settle(run, index, kind)
            if goes_on:
                is_refused = kind == "stale" and step.critical
                expected = [] if is_refused else self.site.claim(run, parcel, step.worker, want)
                self._note_claim(run, parcel, step.worker, settled.next, expected)

    def vacate(self) -> None:
        run, index = self._draw(self._in_state("settled"))
        step = run.steps[index]
        with self._comparing(steps=FOLLOWS | {"vacate"}, lanes=LANE_FOLLOWS | {"vacate", "pass"}):
            assert not self.ledger.vacate(run.name, index, step.fence - 1).accepted[0]
            settles_in_vain = self._draw([True, False])
            if settles_in_vain:  # by which its code is known to have stopped
                fate = self._fate(index, step.fence, "ok")
                answer = self.ledger.settle(run.name, run.parcel_of(index), [fate], worker=step.worker)
            else:
                answer = self.ledger.vacate(run.name, index, step.fence)
            assert answer.accepted == (not settles_in_vain,)
            self.messages += answer.ready
            self.site.vacate(run, index)

    def tick(self) -> None:
        marks = tuple((message.run_id, message.parcel) for message in self.messages)
        with self._comparing(steps=frozenset({"publish"}), lanes=frozenset()):
            assert not self._beat(self._draw(WORKERS), marks).ready

    def retries_fall_due(self) -> None:
        with self._comparing(steps=FOLLOWS | {"due"}, lanes=LANE_FOLLOWS | {"due"}):
            self._bring_due("retry:")
            self._tick(Beat())
            self.site.due()

    def stop(self) -> None:
        run = self._draw([run for run in self.runs if run.phase == "open"])
        how = self._draw(["cancel", "deadline", "watched deadline"])
        with self._comparing(steps=FOLLOWS | {"stop"}, lanes=LANE_FOLLOWS):
            if how == "cancel":
                self.messages += self.ledger.cancel(run.name, "enough")
            elif how == "deadline":
                self._bring_due(f"deadline:{run.name}")
                self._tick(Beat())
            else:
                self.client.hset(f"{self.root}run:{run.name}", "deadline", 1)
                self.ledger.watch("", [run.name])
                self.has_lost_messages = True  # watch does not say what became ready
            self.site.stop(run, "cancelled" if how == "cancel" else "timed_out")
            self.client.zadd(f"{self.root}due", {f"final:{run.name}": FAR_FUTURE_MS}, xx=True)

    def _may_be_paused(self) -> list[ModelRun]:
        """Every other run: enough happens to the rest as without a pause."""
        return [run for run in self.runs[1::2] if run.phase == "open" and not run.paused]

    def pause(self) -> None:
        run = self._draw(self._may_be_paused())
        with self._comparing(steps=FOLLOWS | {"pause"}, lanes=LANE_FOLLOWS):
            self.messages += self.ledger.pause(run.name)
            self.site.pause(run)

    def resume(self) -> None:
        run = self._draw([run for run in self.runs if run.phase == "open" and run.paused])
        with self._comparing(steps=FOLLOWS, lanes=LANE_FOLLOWS):
            self.messages += self.ledger.resume(run.name)
            self.site.resume(run)

    def cancel_a_step(self) -> None:
        run = self._draw([run for run in self.runs if run.phase == "open"])
        index = self._draw(range(run.size))
        # A message that is on its way to the step is now one to the next.
        with self._comparing(steps=FOLLOWS | {"stop", "publish"}, lanes=LANE_FOLLOWS | {"cancel", "pass"}):
            self.messages += self.ledger.cancel_step(run.name, index, "not this one")
            self.site.cancel_step(run, index)

    def places_are_not_taken_up(self) -> None:
        with self._comparing(steps=FOLLOWS, lanes=LANE_FOLLOWS):
            self._bring_due("limit:")
            self._tick(Beat())
            for name, index in self.site.kept_places():
                self.site.give_place(self.site.runs[name], index)

    def waits_for_places_grow_long(self) -> None:
        with self._comparing(steps=FOLLOWS, lanes=LANE_FOLLOWS):
            self._bring_due("stepout:")
            self._tick(Beat())
            self.site.step_out()

    def the_grace_ends(self) -> None:
        run = self._draw([run for run in self.runs if run.stop and run.phase == "open"])
        with self._comparing(steps=FOLLOWS | {"stop"}, lanes=LANE_FOLLOWS | {"settle_only"}):
            self._bring_due(f"final:{run.name}")
            self._tick(Beat())
            self.site.end_grace(run)

    def the_clock_is_set_back(self) -> None:
        self.site.last_fence = max(self.site.last_fence, self._now_us()) + HOUR_US
        self.client.hset(f"{self.root}site", "fence", self.site.last_fence)

    def the_site_comes_back_older(self) -> None:
        self.client.hdel(f"{self.root}site", "fence")

    @staticmethod
    def _now_us() -> int:
        return time.time_ns() // 1000
