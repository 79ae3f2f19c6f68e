"""What a worker has got from its queue, as its keeper tells it."""

import pytest

from producer.publish import probe_of
from tests.support.worker_kits import WORKER, Workshop
from workers.nudge import Nudge
from workers.received import LISTED_AT_ONCE, Received
from workers.tasks import parcel_of


class StubMessage:
    acknowledged = False


@pytest.fixture
def nudge() -> Nudge:
    return Nudge()


@pytest.fixture
def received(nudge: Nudge) -> Received:
    return Received("parallel", nudge.set)


def test_a_parcel_is_listed_until_its_message_is_acknowledged(received: Received) -> None:
    messages = [StubMessage(), StubMessage()]
    for number, message in enumerate(messages):
        received.add(message, "r", number)
    assert received.parcels() == ("r:0", "r:1")
    messages[0].acknowledged = True
    assert received.parcels() == ("r:1",)


def test_what_was_acknowledged_is_not_kept_though_nobody_asks(received: Received) -> None:
    for number in range(10 * LISTED_AT_ONCE):
        message = StubMessage()
        received.add(message, "r", number)
        message.acknowledged = True
    assert len(received._listed) <= LISTED_AT_ONCE + 2


def test_a_new_connection_begins_with_nothing(received: Received) -> None:
    received.add(StubMessage(), "r", 0)
    received.forget_all()
    assert received.parcels() == ()


def test_of_the_probes_the_last_one_is_told_until_it_is_known(received: Received, nudge: Nudge) -> None:
    received.come_out(7)
    assert nudge.wait(0)
    received.come_out(5)
    received.need_not_wait("critical", 6)
    told = received.came_out()
    assert told == (("parallel", 7), ("critical", 6))
    received.come_out(9)
    received.acknowledge(told)
    assert received.came_out() == (("parallel", 9),)


@pytest.mark.parametrize(
    ("run_id", "probe"),
    [
        ("probe.17", 17),
        ("0199aa5500000123456789abcdef", None),
        ("probe.", None),
        ("probe.x", None),
        ("a.probe.1", None),
    ],
)
def test_a_probe_is_told_by_its_run(run_id: str, probe: int | None) -> None:
    assert probe_of(run_id) == probe


def test_a_worker_that_knows_no_probes_takes_one_for_a_parcel_of_a_run_that_is_gone() -> None:
    parcel = parcel_of([["probe.17", 0], {}, {}])
    assert parcel == ("probe.17", 0)
    assert Workshop().ledger.claim(*parcel, worker=WORKER, want=1, with_meta=True) is None
