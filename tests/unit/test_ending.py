"""A worker that cannot finish in time: what it does with the half second that it has left."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from workers import ending as ending_module
from workers.ending import GIVE_UP_EARLY_S, START_AGAIN_EXIT, Ending


class Ended(BaseException):
    """In place of the end of the test's own process; its argument is the exit code."""


@dataclass
class FakeWorker:
    """Keeper, letters, children and processes of steps in one, that write down what is asked of them."""

    unanswered: float = 0.0
    tick_lasts: float = 0.0
    did: list[str] = field(default_factory=list)
    waited_s: float = 0.0

    def unanswered_s(self) -> float:
        return self.unanswered

    def stop(self, within_s: float) -> bool:
        self.did.append("stop")
        self.waited_s += within_s
        return self.waited_s >= self.tick_lasts

    def leave(self, *, keeps_messages: bool) -> None:
        assert keeps_messages
        self.did.append("leave")

    def flush(self) -> None:
        self.did.append("flush")

    def close(self, within_s: float) -> None:
        self.did.append("close")
        self.waited_s += within_s

    def kill_all(self, within_s: float) -> None:
        self.did.append("kill")
        self.waited_s += within_s


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeWorker], Ending]:
    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(ending_module, "end_process", end)

    def ending_of(worker: FakeWorker) -> Ending:
        return Ending(
            keeper=worker,  # type: ignore[arg-type]
            letters=worker,  # type: ignore[arg-type]
            own_processes=worker,  # type: ignore[arg-type]
            board=None,
            children=worker,  # type: ignore[arg-type]
            shutdown_s=10.0,
        )

    return ending_of


@pytest.mark.parametrize(
    ("worker", "does"),
    [
        (FakeWorker(), ["stop", "close", "kill", "stop", "leave", "flush"]),
        (FakeWorker(tick_lasts=GIVE_UP_EARLY_S / 2), ["stop", "close", "kill", "stop", "leave", "flush"]),
        (FakeWorker(unanswered=0.9, tick_lasts=5.0), ["stop", "close", "kill", "stop"]),
        (FakeWorker(unanswered=1.1, tick_lasts=5.0), ["close", "kill"]),
    ],
    ids=["Redis answers", "Redis answers late", "Redis fell silent just now", "Redis is silent"],
)
def test_who_gives_up_ends_what_runs_in_time_and_signs_off_where_redis_answers(
    ends: Callable[[FakeWorker], Ending], worker: FakeWorker, does: list[str]
) -> None:
    with pytest.raises(Ended) as ended:
        ends(worker)._give_up()
    assert ended.value.args == (0,)
    assert worker.did == does
    assert worker.waited_s <= GIVE_UP_EARLY_S


def test_who_was_taken_for_dead_ends_what_runs_and_is_started_again(ends: Callable[[FakeWorker], Ending]) -> None:
    worker = FakeWorker()
    with pytest.raises(Ended) as ended:
        ends(worker).end_as_dead()
    assert ended.value.args == (START_AGAIN_EXIT,)
    assert worker.did == ["close", "kill"]
