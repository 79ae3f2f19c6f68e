"""Prefork children that took a parcel and claim nothing of it."""

import signal
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.support.forks import code_of, forked
from tests.unit.test_child_board import hold_in
from workers import silent_children as silent_module
from workers.child_board import ChildBoard
from workers.processes import has_ended
from workers.silent_children import Job, SilentChildren, jobs_of


class Pool:
    """A parent with one child that has a parcel."""

    def __init__(self) -> None:
        self.board = ChildBoard(1)
        self.jobs: list[Job] = []
        self.hears_redis = True
        self.silent = SilentChildren(board=self.board, jobs=lambda: self.jobs, hears_redis=lambda: self.hears_redis)


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.setattr(silent_module, "CLAIMS_WITHIN_S", 0.0)
    return Pool()


@pytest.fixture
def child() -> Iterator[int]:
    with forked(signal.pause) as pid:
        yield pid


def test_a_child_that_claims_nothing_of_its_parcel_is_ended_when_its_time_is_up(pool: Pool, child: int) -> None:
    pool.jobs = [(1, child)]
    pool.silent.tend()
    assert not has_ended(child)  # Its time begins when it is seen.
    pool.silent.tend()
    assert code_of(child) == -signal.SIGKILL


def test_it_has_its_time_for_each_parcel_anew(pool: Pool, child: int) -> None:
    for number in range(3):
        pool.jobs = [(number, child)]
        pool.silent.tend()
    assert not has_ended(child)


def test_a_child_that_holds_a_step_is_left_alone_however_long_it_takes(pool: Pool, child: int) -> None:
    pool.jobs = [(1, child)]
    pool.silent.tend()
    pool.board.write(hold_in(0, pid=child))
    pool.silent.tend()
    pool.board.clear(0)
    pool.silent.tend()
    assert not has_ended(child)


def test_no_child_is_ended_while_redis_is_away(pool: Pool, child: int) -> None:
    pool.jobs = [(1, child)]
    pool.silent.tend()
    pool.hears_redis = False
    pool.silent.tend()
    pool.hears_redis = True
    pool.silent.tend()
    assert not has_ended(child)


def test_the_jobs_of_a_pool_name_who_has_accepted_them_or_is_to() -> None:
    def job(pid: int | None, write_to: int | None, scheduled: int | None) -> SimpleNamespace:
        to, meant = (None if one is None else SimpleNamespace(pid=one) for one in (write_to, scheduled))
        return SimpleNamespace(_worker_pid=pid, _write_to=to, _scheduled_for=meant)

    jobs = {1: job(11, 10, None), 2: job(None, 12, None), 3: job(None, None, 13), 4: job(None, None, None)}
    assert list(jobs_of(SimpleNamespace(_pool=SimpleNamespace(_cache=jobs)))) == [(1, 11), (2, 12), (3, 13)]
