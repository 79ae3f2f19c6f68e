"""What a step may know of its run."""

from collections.abc import Sequence

from producer.run_meta import OUTCOMES_KEY, RunMeta, StepMeta
from steps.ledger.ledger import SLICE
from steps.ledger.records import RunRecord
from steps.outcome import OutcomeError, Settlement
from workers.run_in_hand import RunInHand

MANY = SLICE + 100


class Shelf:
    """Holds the outcomes of a run, in ledger order, and counts how often it is read."""

    def __init__(self, settlements: Sequence[Settlement | None]) -> None:
        self.texts = [settlement and settlement.encode().encode() for settlement in settlements]
        self.reads: list[int] = []

    def read(self, run_id: str, first: int) -> RunRecord:
        assert run_id == "r"
        self.reads.append(first)
        return RunRecord(False, 0.0, None, 1, b"", tuple(self.texts[first : first + SLICE]))


def meta_of(count: int, sequence: Sequence[int] | None = None) -> bytes:
    steps = tuple(StepMeta(f"s{index}", "GetStep", False, "", "call", "parallel", None) for index in range(count))
    order = tuple(range(count)) if sequence is None else tuple(sequence)
    meta = RunMeta(
        context={"session_id": "42"},
        order="overlap",
        strategy="basic",
        mode="parallel",
        steps=steps,
        sequence=order,
    )
    return meta.encode().encode()


def succeeded(value: object) -> Settlement:
    return Settlement(status="succeeded", value=value, attempts=1)


def test_results_are_those_that_succeeded_by_id_and_by_input_position() -> None:
    failed = Settlement(status="failed", error=OutcomeError("E", "no"))
    shelf = Shelf([succeeded("of the third"), None, failed])
    run = RunInHand("r", meta_of(3, sequence=[2, 0, 1]), read=shelf.read)
    assert dict(run.results(2)) == {"s2": "of the third", "step_2_result": "of the third"}


def test_results_are_read_again_only_if_more_have_settled() -> None:
    shelf = Shelf([succeeded(1), None])
    run = RunInHand("r", meta_of(2), read=shelf.read)
    assert dict(run.results(0)) == {}
    assert shelf.reads == []
    first = run.results(1)
    assert run.results(1) is first
    assert shelf.reads == [0]
    shelf.texts[1] = succeeded(2).encode().encode()
    assert run.results(2)["s1"] == 2
    assert dict(first) == {"s0": 1, "step_0_result": 1}, "an attempt's results stay as they were"


def test_the_results_of_a_large_run_are_read_in_slices() -> None:
    shelf = Shelf([succeeded(index) for index in range(MANY)])
    run = RunInHand("r", meta_of(MANY), read=shelf.read)
    assert run.results(MANY)[f"step_{MANY - 1}_result"] == MANY - 1
    assert shelf.reads == [0, SLICE]


def test_a_lane_reads_what_has_settled_since_and_no_more() -> None:
    shelf = Shelf([None] * MANY)
    run = RunInHand("r", meta_of(MANY), read=shelf.read)
    for index in range(3):
        shelf.texts[index] = succeeded(index).encode().encode()
        assert run.results(index + 1)[f"s{index}"] == index
    assert shelf.reads == [0, 1, 2]


def test_what_settles_out_of_order_is_found_and_read_once() -> None:
    shelf = Shelf([None, succeeded(1), None])
    run = RunInHand("r", meta_of(3), read=shelf.read)
    assert set(run.results(1)) == {"s1", "step_1_result"}
    shelf.texts[0] = succeeded(0).encode().encode()
    assert len(run.results(2)) == 4
    shelf.texts[2] = succeeded(2).encode().encode()
    assert len(run.results(3)) == 6
    assert shelf.reads == [0, 0, 2]


def test_only_the_completion_body_gets_the_outcomes() -> None:
    shelf = Shelf([succeeded(1), Settlement(status="skipped")])
    run = RunInHand("r", meta_of(2), read=shelf.read)
    assert not run.is_body(1)
    assert run.context_for(1) == {"session_id": "42"}
    assert shelf.reads == []
    assert run.is_body(2)
    context = run.context_for(2)
    assert context["session_id"] == "42"
    assert [(one["id"], one["status"]) for one in context[OUTCOMES_KEY]] == [("s0", "succeeded"), ("s1", "skipped")]
