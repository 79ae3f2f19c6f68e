"""How workers end, and what becomes of their claims; for the machine of the ledger's model."""

from steps.ledger.records import Beat
from tests.support.ledger_model import MAX_DEATHS
from tests.support.ledger_rig import FOLLOWS, LANE_FOLLOWS, WORKERS, LedgerRig

LONG_AGO_US = 3_600_000_000

TAKEN_BACK = frozenset({"reap", "reap_at_limit", "stop"})
GIVEN_UP = frozenset({"release", "reap", "stop"})
LANE_TAKEN_BACK = frozenset({"reap", "release", "vacate", "settle", "pass"})


class Troubles(LedgerRig):
    def trouble(self) -> None:
        """A worker that holds something dies, leaves, or loses a child."""
        worker = self._draw([worker for worker in WORKERS if self.site.claims[worker]])
        self._draw([self.die_and_come_back, self.leave_and_come_back, self.a_child_dies, self.an_answer_was_lost])(
            worker
        )

    def die_and_come_back(self, worker: str) -> None:
        beats = self._beat(worker).beats
        with self._comparing(steps=FOLLOWS | TAKEN_BACK, lanes=LANE_FOLLOWS | LANE_TAKEN_BACK):
            self._tick(Beat(reap=((worker, beats[worker] - 1),)))
            assert self.client.exists(f"{self.root}worker:{worker}")
            self._tick(Beat(reap=((worker, beats[worker]),)))
            assert self.ledger.tick(Beat(worker, "beat")).standing == "dead"
            self.site.take_back_all(worker)
        self._join(worker)

    def leave_and_come_back(self, worker: str) -> None:
        with self._comparing(steps=FOLLOWS | GIVEN_UP, lanes=LANE_FOLLOWS | LANE_TAKEN_BACK):
            assert self._tick(Beat(worker, "leave")).standing == "left"
            self.site.take_back_all(worker, announced=True)
        self._join(worker)

    def a_child_dies(self, worker: str) -> None:
        name, index = self._draw(list(self.site.claims[worker]))
        fence = self.site.claims[worker][name, index]
        with self._comparing(steps=FOLLOWS | TAKEN_BACK, lanes=LANE_FOLLOWS | LANE_TAKEN_BACK):
            self._tick(Beat(worker, "none", dead_claims=((f"{name}:{index}", fence),)))
            self.site.take_back(worker, (name, index), alone=True)

    def an_answer_was_lost(self, worker: str) -> None:
        """A worker has claimed something and does not know it: it beats on, and never runs it."""
        name, index = self._draw(list(self.site.claims[worker]))
        self._let_claim_grow_old(name, index)
        with self._comparing(steps=FOLLOWS | GIVEN_UP, lanes=LANE_FOLLOWS | LANE_TAKEN_BACK):
            self._beat(worker, unknown=(name, index))
            self.site.take_back(worker, (name, index), announced=True)

    def _let_claim_grow_old(self, name: str, index: int) -> None:
        key, field = f"{self.root}run:{name}", f"s{index}"
        parts = self.client.hget(key, field).decode().split("|")
        parts[7] = str(int(parts[7]) - LONG_AGO_US)
        self.client.hset(key, field, "|".join(parts))

    def trouble_thrice(self) -> None:
        """A certain step, or whoever runs it, dies or leaves again and again: the third death alone is the limit."""
        run, parcel = self._draw(self._granted())
        end = self._draw([self.die_and_come_back, self.leave_and_come_back, self.a_child_dies])
        for _ in range(MAX_DEATHS):
            self._claim(run, parcel, "w1", 1)
            if self.site.claims["w1"]:
                end("w1")
