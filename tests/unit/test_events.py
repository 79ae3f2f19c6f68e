"""The events of a run: read again from any of them, followed to the end, and honest about what was trimmed."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from producer.events import FROM_THE_FIRST, Event, events_of
from producer.run_meta import RunMeta
from steps.decorator import step
from steps.errors import InvalidBatch, RunUnknown
from steps.ledger.ledger import SLICE
from steps.ledger.records import EventRecord, RunRecord, StepFate
from steps.registry import StepRegistry
from tests.support.ledgers import FAILED, OK
from tests.support.worker_kits import WORKER, Workshop

OF_TWO_READS = ["run.started", "step.started", "step.completed", "step.started", "step.failed", "run.completed"]


@pytest.fixture(autouse=True)
def _steps() -> Iterator[None]:
    with StepRegistry().isolated():
        step(name="GetStep", critical=False)(lambda: None)
        yield


class Happening:
    """A ledger in which something happens whenever its reader waits for it; it must not wait once more."""

    def __init__(self, shop: Workshop, *happenings: Callable[[], object]) -> None:
        self._ledger = shop.ledger
        self._happenings = iter(happenings)
        self.waits = 0

    def events(self, run_id: str, after: str, *, count: int = SLICE) -> list[EventRecord]:
        return self._ledger.events(run_id, after, count=count)

    def read(self, run_id: str, *, first: int, count: int) -> RunRecord:
        return self._ledger.read(run_id, first=first, count=count)

    def wait_for_event(self, run_id: str, after: str, *, timeout_s: float) -> str:
        self.waits += 1
        next(self._happenings)()
        return after


def read(
    shop: Workshop, run_id: str, *happenings: Callable[[], object], follow: bool = False, after: str = "0"
) -> list[Event]:
    ledger: Any = Happening(shop, *happenings)
    meta = RunMeta.decode(shop.ledger.read(run_id).meta)
    return list(events_of(ledger, run_id, meta, after=after, follow=follow or bool(happenings)))


def kinds(events: list[Event]) -> list[str]:
    return [event.event for event in events]


def settle_one(shop: Workshop, run_id: str, *, parcel: int = 0, status: str = "succeeded") -> None:
    claimed = shop.ledger.claim(run_id, parcel, worker=WORKER, want=1, with_meta=False)
    assert claimed is not None
    (one,) = claimed.steps
    fate = StepFate(one.index, one.fence, "S", status, OK if status == "succeeded" else FAILED)
    shop.ledger.settle(run_id, parcel, [fate], worker=WORKER)


def settled_run(shop: Workshop) -> str:
    run = shop.open([{"name": "GetStep", "id": "first"}, "GetStep"])
    settle_one(shop, run)
    settle_one(shop, run, status="failed")
    return run


def trim(shop: Workshop, run_id: str, kept: int) -> None:
    """Let only the last events be there, as of a run that has too many of them."""
    shop.client.xtrim(f"stepline:v1:events:{run_id}", maxlen=kept, approximate=False)


def test_events_tell_what_happened_to_which_step_and_when() -> None:
    shop = Workshop()
    found = read(shop, settled_run(shop))
    assert kinds(found) == OF_TWO_READS
    started, failed = found[1], found[4]
    assert (started.step, started.name, started.attempt, started.worker, started.status) == (
        "first", "GetStep", 1, WORKER, None,
    )  # fmt: skip
    assert (failed.step, failed.status) == ("GetStep", "failed")
    assert (found[0].step, found[0].attempt, found[0].worker) == (None, None, None)
    assert [event.at_ms for event in found] == sorted(event.at_ms for event in found)
    assert set(found[0].as_dict()) == set(Event.__slots__)


def test_reading_goes_on_behind_any_event() -> None:
    shop = Workshop()
    run = settled_run(shop)
    whole = read(shop, run)
    for at, event in enumerate(whole):
        assert read(shop, run, after=event.id) == whole[at + 1 :]
        assert read(shop, run, after=event.id, follow=True) == whole[at + 1 :]


def test_more_events_than_one_read_brings_are_read_once_each() -> None:
    shop = Workshop()
    run = shop.open(["GetStep"] * 700, max_concurrency=700)
    shop.ledger.cancel(run, "enough")
    found = read(shop, run)
    assert kinds(found) == ["run.started", *["step.cancelled"] * 700, "run.completed"]
    assert len({event.id for event in found}) == len(found)
    assert read(shop, run, follow=True) == found


def test_a_run_that_is_done_is_followed_to_its_end_without_waiting() -> None:
    shop = Workshop()
    run = settled_run(shop)
    assert kinds(read(shop, run, follow=True)) == OF_TWO_READS


def test_following_brings_what_happens_meanwhile_and_ends_with_the_run() -> None:
    shop = Workshop()
    run = shop.open(["GetStep", "GetStep"])
    found = read(
        shop, run,
        lambda: None,  # a look in vain
        lambda: settle_one(shop, run),
        lambda: settle_one(shop, run, status="failed"),
    )  # fmt: skip
    assert kinds(found) == OF_TWO_READS


def test_without_following_it_ends_with_what_there_is() -> None:
    shop = Workshop()
    run = shop.open(["GetStep", "GetStep"])
    settle_one(shop, run)
    assert kinds(read(shop, run)) == OF_TWO_READS[:3]


def test_a_waiting_run_says_so_first() -> None:
    shop = Workshop()
    leader = shop.open(["GetStep"])
    run = shop.open(["GetStep"], after=[leader])
    assert kinds(read(shop, run)) == ["run.waiting"]
    settle_one(shop, leader)
    shop.ledger.finish((run,))
    assert kinds(read(shop, run)) == ["run.waiting", "run.started"]


def test_following_ends_with_the_run_and_its_body_is_read_afterwards() -> None:
    shop = Workshop()
    run = shop.open(["GetStep"], then="GetStep")
    followed = read(shop, run, lambda: settle_one(shop, run))
    assert kinds(followed) == ["run.started", "step.started", "step.completed", "run.completed"]
    settle_one(shop, run, parcel=1, status="failed")
    of_body = read(shop, run, after=followed[-1].id)
    assert [(event.event, event.step) for event in of_body] == [
        ("step.started", "GetStep_2"),
        ("step.failed", "GetStep_2"),
    ]


def test_what_was_trimmed_before_the_first_read_is_a_gap() -> None:
    shop = Workshop()
    run = settled_run(shop)
    trim(shop, run, 2)
    gap, *rest = read(shop, run)
    assert (gap.event, gap.id, gap.step, gap.at_ms) == ("gap", FROM_THE_FIRST, None, rest[0].at_ms)
    assert kinds(rest) == OF_TWO_READS[-2:]


def test_what_was_trimmed_behind_the_event_to_go_on_from_is_a_gap() -> None:
    shop = Workshop()
    run = settled_run(shop)
    second = read(shop, run)[1]
    trim(shop, run, 2)
    gap, *rest = read(shop, run, after=second.id)
    assert (gap.event, gap.id) == ("gap", second.id)
    assert kinds(rest) == OF_TWO_READS[-2:]


def test_a_reader_that_is_overtaken_while_it_follows_is_told_of_the_gap() -> None:
    shop = Workshop()
    run = shop.open(["GetStep", "GetStep"])

    def go_on_and_trim() -> None:
        settle_one(shop, run)
        settle_one(shop, run)
        trim(shop, run, 1)

    assert kinds(read(shop, run, go_on_and_trim)) == ["run.started", "gap", "run.completed"]


def test_what_is_read_up_to_is_no_gap_when_it_was_trimmed_no_further() -> None:
    shop = Workshop()
    run = settled_run(shop)
    third = read(shop, run)[2]
    trim(shop, run, 4)  # this one is the first that is left
    assert kinds(read(shop, run, after=third.id)) == OF_TWO_READS[3:]


def test_a_run_that_expires_meanwhile_ends_the_following_with_an_error() -> None:
    shop = Workshop()
    run = shop.open(["GetStep"])
    meta = RunMeta.decode(shop.ledger.read(run).meta)
    ledger: Any = Happening(shop, lambda: shop.client.delete(*shop.client.keys(f"*{run}*")))
    following = events_of(ledger, run, meta, after="0", follow=True)
    assert next(following).event == "run.started"
    with pytest.raises(RunUnknown):
        next(following)


@pytest.mark.parametrize(
    "after", ["", "x", "1-", "-1", "1-2-3", "(1-1", "$", "0-0", "0-1", f"{2**64}-0", f"1-{2**64}", "1 -1"]
)
def test_what_is_no_id_of_an_event_is_refused(after: str) -> None:
    shop = Workshop()
    run = shop.open(["GetStep"])
    with pytest.raises(InvalidBatch, match="after: must be the id of an event, or 0, not"):
        read(shop, run, after=after)
