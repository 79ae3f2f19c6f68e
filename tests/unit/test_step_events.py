"""What listeners are told of steps, when, and that nobody waits or pays for it otherwise."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from producer.run_meta import RunMeta
from steps import step
from steps.context import StepContext
from steps.errors import BrokerUnavailable
from steps.ledger.records import Beat, StepFate
from steps.outcome import OutcomeError
from steps.registry import StepRegistry
from tests.support.forks import code_of, forked
from tests.support.processes import wait_until
from tests.support.worker_kits import Workshop
from workers import event_switch, event_thread
from workers.child_board import ChildBoard
from workers.event_fields import MESSAGE_CHARS, StepEvent, StepSeen, of_uuid, uuid_of
from workers.event_switch import BEAT_S, KEPT_ON_S, EventSwitch
from workers.event_thread import EventThread
from workers.nudge import Nudge
from workers.remote_control import masked
from workers.revoking import REASON, Revoking
from workers.serial import SerialPipeline
from workers.side_parcel import HeldSteps, SidePipeline
from workers.slots import Slots
from workers.step_events import MakeEvents, StepEvents, silent

SECRET = "nobody-may-see-this"
ON, OFF = 1, 0


class Told:
    """An outlet that keeps what is told, made at once."""

    def __init__(self) -> None:
        self.events: list[StepEvent] = []

    def put(self, make: MakeEvents) -> None:
        self.events += make()

    def of(self, run_id: str) -> list[tuple[str, str]]:
        """Return step id and kind of the events of a run, in order."""
        uuids = [(str(event.fields["uuid"]), event.type.removeprefix("task-")) for event in self.events]
        return [(uuid.removeprefix(f"{run_id}."), kind) for uuid, kind in uuids if uuid.startswith(f"{run_id}.")]

    def last(self, run_id: str, step_id: str = "Step") -> dict[str, Any]:
        return dict([one for one in self.events if one.fields["uuid"] == f"{run_id}.{step_id}"][-1].fields)


class Untouched:
    """An outlet that nothing may reach."""

    def put(self, make: MakeEvents) -> None:
        raise AssertionError("somebody is told although nobody listens")


class Shop:
    """A workshop whose worker, of either kind, tells what becomes of steps."""

    def __init__(self, pool: str, *, flag: int = ON, outlet: Any = None) -> None:
        self.workshop = Workshop()
        self.told = Told()
        ledger = self.workshop.ledger
        self.events = StepEvents(
            flag=memoryview(bytearray([flag])),
            outlet=outlet or self.told,
            read=lambda run_id, first, count: ledger.read(run_id, first=first, count=count),
        )
        self.workshop.kit.events = self.events
        kit = self.workshop.kit
        if pool == "prefork":
            self.pipeline: Any = SerialPipeline(kit=kit, board=ChildBoard(1), slot=0)
        else:
            self.pipeline = SidePipeline(kit=kit, slots=Slots(6), held=HeldSteps())

    def run(self, *steps: Any, **options: Any) -> str:
        run_id = self.workshop.open(steps, **options)
        self.workshop.work_off(self.pipeline.run)
        return run_id


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Forget the steps of a test, and the handler of alarms that a pipeline of children sets."""
    handler = signal.getsignal(signal.SIGALRM)
    with StepRegistry().isolated():
        yield
    signal.signal(signal.SIGALRM, handler)


def register(*, critical: bool) -> None:
    """Register the steps of these tests."""

    @step(name="Step", critical=critical, retries=0)
    def plain(value: Any = None) -> Any:
        return value

    @step(name="Failing", critical=critical, retries=0)
    def failing() -> None:
        raise ValueError("x" * 1000)

    @step(name="Flaky", critical=critical, idempotent=True, retries=1)
    def flaky(ctx: StepContext) -> None:
        if ctx.attempt == 1:
            raise ConnectionError("not yet")


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_while_nobody_listens_nothing_is_made_or_sent(pool: str) -> None:
    register(critical=pool == "prefork")
    shop = Shop(pool, flag=OFF, outlet=Untouched())
    run_id = shop.run("Step", "Flaky", "Failing", strategy="simple")
    shop.workshop.bring_retries_due()
    shop.workshop.work_off(shop.pipeline.run)
    assert shop.workshop.statuses(run_id).count("failed") == 1
    assert not silent().is_on


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_step_is_received_started_and_ended_and_shows_no_parameter_and_no_value(pool: str) -> None:
    register(critical=pool == "prefork")
    shop = Shop(pool)
    run_id = shop.run({"name": "Step", "id": "Mine", "params": {"value": SECRET}}, context={"token": SECRET})
    assert shop.told.of(run_id) == [("Mine", "received"), ("Mine", "started"), ("Mine", "succeeded")]
    fields = shop.told.last(run_id, "Mine")
    assert fields["name"] == "Step"
    assert fields["args"] == f"('{run_id}', 'Mine')"
    assert (fields["result"], fields["exception"], fields["retries"]) == ("succeeded", None, 0)
    assert fields["runtime"] == pytest.approx((shop.workshop.outcome(run_id).ran_ms or 0) / 1000)
    assert SECRET not in repr(shop.told.events)
    times = [float(str(one.fields["timestamp"])) for one in shop.told.events]
    assert times == sorted(times)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_failure_says_type_and_a_piece_of_its_message(pool: str) -> None:
    register(critical=pool == "prefork")
    shop = Shop(pool)
    run_id = shop.run("Failing")
    assert shop.told.of(run_id)[-1] == ("Failing", "failed")
    fields = shop.told.last(run_id, "Failing")
    assert fields["exception"] == f"ValueError: {'x' * MESSAGE_CHARS}..."
    assert fields["result"] == "failed"


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_retry_is_told_with_its_reason_and_the_next_start_counts_it(pool: str) -> None:
    register(critical=pool == "prefork")
    shop = Shop(pool)
    run_id = shop.run("Flaky")
    assert shop.told.of(run_id) == [("Flaky", "received"), ("Flaky", "started"), ("Flaky", "retried")]
    assert shop.told.last(run_id, "Flaky")["exception"] == "ConnectionError: not yet"
    shop.workshop.bring_retries_due()
    shop.workshop.work_off(shop.pipeline.run)
    assert shop.told.of(run_id)[3:] == [("Flaky", "received"), ("Flaky", "started"), ("Flaky", "succeeded")]
    assert [one.fields["retries"] for one in shop.told.events[3:]] == [1, 1, 1]


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_call_that_does_not_fit_is_received_and_failed_but_never_started(pool: str) -> None:
    shop, critical = Shop(pool), pool == "prefork"
    with StepRegistry().isolated():

        @step(name="Step", critical=critical)
        def of_another_release() -> None: ...

        run_id = shop.workshop.open(["Step"])

    @step(name="Step", critical=critical)
    def needs_a_number(value: int) -> int:
        return value

    shop.workshop.work_off(shop.pipeline.run)
    assert [kind for _, kind in shop.told.of(run_id)] == ["received", "failed"]


def test_the_steps_of_a_lane_are_received_together_and_told_when_they_are_skipped() -> None:
    register(critical=True)
    shop = Shop("prefork")
    run_id = shop.run("Failing", "Step", {"name": "Step", "id": "Last"})
    assert shop.told.of(run_id) == [
        ("Failing", "received"),
        ("Step", "received"),
        ("Last", "received"),
        ("Failing", "started"),
        ("Failing", "failed"),
        ("Step", "revoked"),
        ("Last", "revoked"),
    ]
    assert shop.told.last(run_id, "Last")["result"] == "skipped"


def test_a_step_that_was_received_with_its_lane_is_not_received_again() -> None:
    register(critical=True)
    shop = Shop("prefork")
    run_id = shop.run("Step", {"name": "Step", "id": "Last"})
    kinds = ["received", "started", "succeeded"]
    for step_id in ("Step", "Last"):
        assert [kind for found, kind in shop.told.of(run_id) if found == step_id] == kinds


def test_an_end_that_the_ledger_refuses_is_told_as_the_ledger_has_it() -> None:
    register(critical=False)
    shop = Shop("threads")

    @step(name="Stopped", critical=False)
    def stopped(ctx: StepContext) -> None:
        shop.workshop.ledger.cancel(ctx.run_id, "enough")
        shop.workshop.ledger.tick(Beat())

    run_id = shop.run("Stopped")
    assert shop.told.of(run_id)[:2] == [("Stopped", "received"), ("Stopped", "started")]
    assert shop.told.of(run_id)[2:] in ([("Stopped", "revoked")], [("Stopped", "succeeded")])


def test_a_uuid_leads_back_to_its_step() -> None:
    assert of_uuid(uuid_of("01ab", "Step_2")) == ("01ab", "Step_2")
    for other in ("4f6e0a4e-6d2b-4c5e-9a43-0b8f5a1d7c11", "", ".", "run.", ".step"):
        assert of_uuid(other) is None


def test_the_flag_of_a_board_reaches_its_children() -> None:
    board = ChildBoard(1)
    events = StepEvents(flag=board.events_flag, outlet=Told(), read=lambda *_: pytest.fail("nothing to read"))
    board.events_flag[0] = 1
    board.drain()

    def leave_on(expected: bool) -> Callable[[], None]:
        def child() -> None:
            assert events.is_on is expected

        return child

    with forked(leave_on(True)) as child:
        assert code_of(child) == 0
    board.events_flag[0] = 0
    assert board.is_draining
    with forked(leave_on(False)) as child:
        assert code_of(child) == 0


# the thread that sends -------------------------------------------------------------------------------------------


class PretendApp:
    """A Celery app whose broker does what a test wants."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.connects = self.closes = 0
        self.refusal: Exception | None = None
        self.may_send = threading.Event()
        self.may_send.set()
        self.events = SimpleNamespace(Dispatcher=self._dispatcher)

    def connection_for_write(self) -> Any:
        self.connects += 1
        return SimpleNamespace(ensure_connection=self._ensure, close=self._close)

    def _ensure(self, **_: Any) -> None:
        if self.refusal is not None:
            raise self.refusal

    def _close(self) -> None:
        self.closes += 1

    def _dispatcher(self, connection: Any, **options: Any) -> Any:
        app = self

        class Dispatcher:
            def __init__(self) -> None:
                self.connection = connection
                self.options = options

            def send(self, kind: str, **fields: Any) -> None:
                app.may_send.wait()
                app._ensure()
                app.sent.append((kind, fields))

            def enable(self) -> None: ...
            def flush(self) -> None: ...
            def close(self) -> None: ...

        return Dispatcher()


def events_named(*kinds: str) -> MakeEvents:
    return lambda: [StepEvent(kind, {"uuid": kind}) for kind in kinds]


def broken() -> list[StepEvent]:
    raise BrokerUnavailable("the ledger is away")


@pytest.fixture
def app() -> PretendApp:
    return PretendApp()


def test_the_thread_sends_in_order_over_one_connection(app: PretendApp) -> None:
    thread = EventThread(app, "node")  # type: ignore[arg-type]
    assert app.connects == 0
    thread.put(events_named("a", "b"))
    thread.put(events_named("c"))
    assert thread.flush(5)
    assert [kind for kind, _ in app.sent] == ["a", "b", "c"]
    assert app.connects == 1


def test_a_broken_broker_costs_events_and_one_line_and_nothing_else(
    app: PretendApp, caplog: pytest.LogCaptureFixture
) -> None:
    thread = EventThread(app, "node")  # type: ignore[arg-type]
    app.refusal = ConnectionRefusedError("no broker")
    for _ in range(3):
        thread.put(events_named("lost"))
        assert thread.flush(5)
    thread.put(broken)
    assert thread.flush(5)
    assert [line.getMessage() for line in caplog.records if line.levelno == logging.WARNING] == [
        "events for Flower are dropped: ConnectionRefusedError: no broker"
    ]
    app.refusal = None
    thread.put(events_named("again"))
    assert thread.flush(5)
    assert [kind for kind, _ in app.sent] == ["again"]


def test_a_slow_broker_holds_up_nobody_and_what_is_too_much_is_dropped(
    app: PretendApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_thread, "MOST_WAITING", 3)
    thread = EventThread(app, "node")  # type: ignore[arg-type]
    app.may_send.clear()
    thread.put(events_named("stuck"))
    wait_until(lambda: app.connects == 1)
    for number in range(10):
        thread.put(events_named(str(number)))
    assert not thread.flush(0.01)
    app.may_send.set()
    assert thread.flush(5)
    assert [kind for kind, _ in app.sent] == ["stuck", "7", "8", "9"]


# on and off ------------------------------------------------------------------------------------------------------


class PretendConsumer:
    """A consumer with a timer and a loop that a test turns by hand."""

    def __init__(self, app: PretendApp) -> None:
        self.app = app
        self.hostname = "node"
        self.repeated: list[Any] = []
        self.hub: Any = SimpleNamespace(call_soon=lambda call, *arguments: call(*arguments))
        self.timer = SimpleNamespace(call_repeatedly=self._repeat)

    def _repeat(self, every_s: float, call: Callable[[], None]) -> Any:
        assert every_s == BEAT_S
        entry = SimpleNamespace(call=call, cancel=lambda: self.repeated.remove(entry))
        self.repeated.append(entry)
        return entry

    def beat(self) -> None:
        for entry in list(self.repeated):
            entry.call()


class Clock:
    """Stands for the monotonic clock of the switch."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(event_switch, "time", clock)
    return clock


class Switched:
    """A switch with its flag, on a consumer."""

    def __init__(self, app: PretendApp) -> None:
        self.app = app
        self.flag = memoryview(bytearray(1))
        self.consumer = PretendConsumer(app)
        self.switch = EventSwitch(self.flag, count_running=lambda: 3)
        self.switch.attach(self.consumer)

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.app.sent]


@pytest.fixture
def switched(app: PretendApp, clock: Clock) -> Switched:
    return Switched(app)


def test_until_somebody_asks_there_is_no_connection_and_no_beat(switched: Switched) -> None:
    switched.switch.put(events_named("nobody"))
    assert switched.flag[0] == 0
    assert (switched.app.connects, switched.consumer.repeated, switched.kinds()) == (0, [], [])


def test_who_asks_hears_that_the_worker_is_there_its_beats_and_its_events(switched: Switched) -> None:
    assert switched.switch.enable() == {"ok": "task events enabled"}
    assert switched.switch.enable() == {"ok": "task events already enabled"}
    assert switched.flag[0] == 1
    switched.consumer.beat()
    switched.switch.put(events_named("rare"))
    assert switched.kinds() == ["worker-online", "worker-heartbeat", "rare"]
    beat = switched.app.sent[1][1]
    assert (beat["active"], beat["freq"]) == (3, BEAT_S)


def test_events_end_a_while_after_they_were_last_asked_for(switched: Switched, clock: Clock) -> None:
    switched.switch.enable()
    clock.now += KEPT_ON_S - 1
    switched.switch.enable()
    clock.now += KEPT_ON_S - 1
    switched.consumer.beat()
    assert switched.flag[0] == 1
    clock.now += 2
    switched.consumer.beat()
    assert switched.flag[0] == 0
    assert (switched.consumer.repeated, switched.app.closes) == ([], 1)
    switched.switch.enable()
    assert switched.flag[0] == 1


def test_events_end_when_they_are_told_to(switched: Switched) -> None:
    assert switched.switch.disable() == {"ok": "task events already disabled"}
    switched.switch.enable()
    assert switched.switch.disable() == {"ok": "task events disabled"}
    assert (switched.flag[0], switched.app.closes) == (0, 1)


@pytest.mark.parametrize("breaks_at", ["connecting", "a beat", "an event"])
def test_a_broken_broker_ends_events_with_one_line_until_they_are_asked_for_again(
    switched: Switched, caplog: pytest.LogCaptureFixture, breaks_at: str
) -> None:
    refusal = ConnectionRefusedError("no broker")
    if breaks_at == "connecting":
        switched.app.refusal = refusal
        assert "error" in switched.switch.enable()
    else:
        switched.switch.enable()
        switched.app.refusal = refusal
        if breaks_at == "a beat":
            switched.consumer.beat()
        else:
            switched.switch.put(events_named("lost"))
    assert (switched.flag[0], switched.consumer.repeated) == (0, [])
    assert len([line for line in caplog.records if line.levelno == logging.WARNING]) == 1
    switched.app.refusal = None
    switched.switch.enable()
    assert switched.flag[0] == 1


# revoking --------------------------------------------------------------------------------------------------------


class Revoked:
    """A workshop whose worker is told to revoke steps."""

    def __init__(self) -> None:
        self.shop = Shop("prefork")
        self.workshop = self.shop.workshop
        self.nudge = Nudge()
        self.revoking = Revoking(
            ledger=self.workshop.ledger,
            publisher=self.workshop.publisher,  # type: ignore[arg-type]
            nudge=self.nudge,
            events=self.shop.events,
            queue="critical",
        )


@pytest.fixture
def revoked() -> Revoked:
    register(critical=True)
    return Revoked()


def test_a_revoked_step_is_cancelled_in_the_ledger_and_told(revoked: Revoked) -> None:
    run_id = revoked.workshop.open(["Step", {"name": "Step", "id": "Other"}])
    uuid = f"{run_id}.Other"
    for _ in range(2):  # every worker of the site is told
        assert revoked.revoking.revoke([uuid]) == {"ok": f"steps cancelled: {uuid}"}
    assert revoked.nudge.wait(0)
    assert revoked.shop.told.of(run_id) == [("Other", "revoked")] * 2
    revoked.workshop.work_off(revoked.shop.pipeline.run)
    assert revoked.workshop.statuses(run_id) == ["succeeded", "cancelled"]
    error = revoked.workshop.outcomes(run_id)[1].error
    assert error is not None
    assert REASON in error.message


def test_the_place_in_the_ledger_is_found_whatever_the_order_of_the_input() -> None:
    register(critical=True)

    @step(name="GetStep", critical=False)
    def get() -> None: ...

    revoked = Revoked()
    run_id = revoked.workshop.open(["GetStep", "Step"])
    revoked.revoking.revoke(f"{run_id}.GetStep")
    assert revoked.shop.told.of(run_id) == []  # it is left to the workers of its own queue to say so
    statuses = {one.id: one.status for one in revoked.workshop.outcomes(run_id)}
    assert statuses == {"GetStep": "cancelled"}


@pytest.mark.parametrize("uuid", ["no-run.Step", "4f6e0a4e-6d2b-4c5e-9a43-0b8f5a1d7c11", "{run}.NoStep", ""])
def test_what_is_no_step_is_passed_over(revoked: Revoked, uuid: str) -> None:
    run_id = revoked.workshop.open(["Step"])
    assert revoked.revoking.revoke(uuid.format(run=run_id)) == {"ok": "steps cancelled: none"}
    assert not revoked.nudge.wait(0)
    assert revoked.workshop.statuses(run_id) == []


def test_without_a_ledger_revoking_gives_up_at_the_first_step(
    revoked: Revoked, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def read(run_id: str, **_: Any) -> Any:
        asked.append(run_id)
        raise BrokerUnavailable("away")

    monkeypatch.setattr(revoked.workshop.ledger, "read", read)
    assert "error" in revoked.revoking.revoke(["a.Step", "b.Step"])
    assert asked == ["a"]


# the rest --------------------------------------------------------------------------------------------------------


def test_no_password_is_in_what_a_worker_tells_of_itself() -> None:
    found = {"broker": {"hostname": "redis+socket://:sec@/tmp/s", "alternates": ["redis://me:sec@host"]}, "pid": 7}
    assert masked(found) == {
        "broker": {"hostname": "redis+socket://***@/tmp/s", "alternates": ["redis://***@host"]},
        "pid": 7,
    }


def test_an_error_without_a_reason_is_told_too() -> None:
    register(critical=True)
    shop = Shop("prefork")
    run_id = shop.run("Step")
    meta = shop.workshop.ledger.read(run_id).meta
    seen = StepSeen(run_id, RunMeta.decode(meta), 0, 1.0)
    retried = seen.ended(StepFate(0, 1, "R", "5"), OutcomeError("ValueError", "no"))
    assert retried is not None
    assert retried.fields["exception"] == "ValueError: no"
    assert seen.ended(StepFate(0, 1, "P", "5"), None) is None
