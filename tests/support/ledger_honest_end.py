"""The end of a run of the machine: whatever happened, honest workers bring everything to its end."""

from steps.ledger.records import Beat
from tests.support.ledger_rig import WORKERS, LedgerRig

KEEPER = "w3"


class HonestEnd(LedgerRig):
    def teardown(self) -> None:
        """Whatever happened, honest workers that only follow messages bring every run to its end, none sent twice."""
        if not self.is_sound:  # the failure that is there already is the one to be told
            return
        for run, index in self._in_state("settled"):
            self.messages += self.ledger.vacate(run.name, index, run.steps[index].fence).ready
        for run, index in self._in_state("running"):
            fate = self._fate(index, run.steps[index].fence, "ok")
            worker = run.steps[index].worker
            self.messages += self.ledger.settle(run.name, run.parcel_of(index), [fate], worker=worker).ready
        for run in self.runs:
            if run.paused:
                self.messages += self.ledger.resume(run.name)
        self._work_off_messages()
        self._bring_due("retry:")
        self._tick(Beat())
        self._work_off_messages()
        if self.has_lost_messages:
            self._follow_keepers()
        assert not [
            run.name for run in self.runs if self.client.hget(f"{self.root}run:{run.name}", "state") != b"closed"
        ]
        self._nothing_is_left_over()

    def _follow_keepers(self) -> None:
        for _ in self.runs * 4:
            self._bring_due("check:")
            ticked = self._tick(Beat())
            self.messages += ticked.maybe_lost
            self._work_off_messages()

    def _work_off_messages(self) -> None:
        while self.messages:
            message = self.messages.pop(0)
            claimed = self.ledger.claim(message.run_id, message.parcel, worker=KEEPER, want=3, with_meta=False)
            assert claimed is not None
            while claimed.steps:
                fates = [self._fate(step.index, step.fence, "ok") for step in claimed.steps]
                settled = self.ledger.settle_and_claim_next(
                    message.run_id, message.parcel, fates, worker=KEEPER, want=len(fates)
                )
                assert all(settled.accepted)
                self.messages += settled.ready
                claimed = settled.next

    def _nothing_is_left_over(self) -> None:
        self._bring_due("check:", "retry:", "sweep:", "limit:", "stepout:")
        for worker in WORKERS:  # the first brings what is due to its end, each hears what it was asked to stop
            self._beat(worker)
        keys = {key.decode().removeprefix(self.root) for key in self.client.keys(f"{self.root}*")}
        gone = ("due", "lanes", "lane:", "claims:", "stops:", "open_runs", "backlog:", "places:", "held:", "starts:")
        assert not {key for key in keys if key.startswith(gone)}, keys
        assert set(self.client.hvals(f"{self.root}pending")) <= {b"0"}
        for run in self.runs:
            assert self.client.ttl(f"{self.root}run:{run.name}") > 0
            assert self.client.ttl(f"{self.root}events:{run.name}") > 0
