"""Steps that were running when their worker died: they run again alone, and only who dies alone is to blame."""

import signal
from collections.abc import Callable

from producer import Producer, Result, Run
from tests.support.latches import Latch
from tests.support.processes import wait_until
from tests.support.worker_sites import WorkerSite

PARALLEL = ("parallel-1", "parallel-2")
INNOCENTS = 6
MAX_DEATHS = 3


def test_a_poison_step_takes_its_neighbours_with_it_once_and_is_then_lost_alone(
    mortal_site: WorkerSite, latches: Callable[[str], Latch]
) -> None:
    site, producer = mortal_site, mortal_site.producer
    poison, innocent = latches("poison"), latches("innocent")
    run = producer.submit(
        [poison.call("GetPoisonStep"), *[innocent.call("GetHeldStep")] * INNOCENTS, innocent.call("GetOwnHeldStep")]
    )
    (killer,) = poison.wait_until_begun()
    innocent.wait_until_begun(INNOCENTS + 1)
    struck = _steps_on(site, run, killer["pid"]) - {0}
    poison.open()
    again = innocent.wait_until_begun(INNOCENTS + 1 + len(struck))[INNOCENTS + 1 :]
    poison.wait_for("killing", 1 + MAX_DEATHS)
    site.wait_until_whole()
    workers = _pids(site)
    assert not {line["pid"] for line in again} & workers, "they run in processes of their own"
    assert len({line["pid"] for line in again}) == len(again)
    innocent.open()
    result = _gather(site, run)
    lost, others = result.outcomes[0], result.outcomes[1:]
    assert lost.error is not None
    assert (lost.status, lost.error.type, lost.attempts) == ("lost", "WorkerLost", 1 + MAX_DEATHS)
    assert [one.status for one in others] == ["succeeded"] * (INNOCENTS + 1)
    assert [one.attempts for one in others] == [2 if at in struck else 1 for at in range(1, INNOCENTS + 2)]
    assert sorted(line["step"] for line in again) == sorted(result.outcomes[at].id for at in struck)
    assert len(poison.lines("killing")) == 1 + MAX_DEATHS
    assert site.deaths(run.id) == MAX_DEATHS
    assert _pids(site) == workers, "those who died alone took no worker with them"


def test_a_step_whose_worker_dies_again_and_again_is_not_to_blame(mortal_site: WorkerSite, latch: Latch) -> None:
    site = mortal_site
    run = site.producer.submit([latch.call("GetHeldStep"), latch.call("GetAwaitedStep"), latch.call("GetOwnHeldStep")])
    for death in range(1, MAX_DEATHS + 2):
        latch.wait_until_begun(3 * death)
        for name in PARALLEL:
            site.kill(site.worker(name))
        site.wait_until_whole()
    latch.wait_until_begun(3 * (MAX_DEATHS + 2))
    latch.open()
    result = _gather(site, run)
    assert [(one.status, one.attempts) for one in result.outcomes] == [("succeeded", MAX_DEATHS + 2)] * 3
    assert site.deaths(run.id) == 0


def test_several_poison_steps_on_several_workers_leave_all_others_unharmed(
    mortal_site: WorkerSite, latches: Callable[[str], Latch]
) -> None:
    site, producer = mortal_site, mortal_site.producer
    poison, innocent = latches("poison"), latches("innocent")
    runs = [producer.submit([innocent.call("GetHeldStep"), poison.call("GetPoisonStep")]) for _ in range(3)]
    innocent.wait_until_begun(3)
    poison.wait_until_begun(3)
    poison.open()
    poison.wait_for("killing", 3 * MAX_DEATHS + 1)
    innocent.open()
    for run in runs:
        assert [one.status for one in _gather(site, run).outcomes] == ["succeeded", "lost"]
        assert site.deaths(run.id) == MAX_DEATHS


def test_a_poison_coroutine_is_lost_alone_too(mortal_site: WorkerSite, latch: Latch) -> None:
    latch.open()
    run = mortal_site.producer.submit([latch.call("GetPoisonAwaitedStep"), "GetEchoStep"])
    result = _gather(mortal_site, run)
    assert [one.status for one in result.outcomes] == ["lost", "succeeded"]
    assert result.outcomes[0].attempts == 1 + MAX_DEATHS


def test_an_announced_end_makes_nobody_a_suspect(mortal_site: WorkerSite, latch: Latch) -> None:
    site = mortal_site
    run = site.producer.submit([latch.call("GetHeldStep")])
    (first,) = latch.wait_until_begun()
    stopped = site.worker_of(first["pid"])
    site.kill(stopped, signal.SIGTERM)
    _, second = latch.wait_until_begun(2)
    site.wait_until_whole()
    assert second["pid"] in _pids(site), "it runs beside others again"
    latch.open()
    assert [(one.status, one.attempts) for one in _gather(site, run).outcomes] == [("succeeded", 2)]
    assert site.deaths(run.id) == 0


def _pids(site: WorkerSite) -> set[int]:
    return {pid for name in PARALLEL if (pid := site.worker(name).pid) is not None}


def _steps_on(site: WorkerSite, run: Run, pid: int) -> set[int]:
    """Return which steps of a run the worker with this pid has started, on threads or in processes of their own."""
    started = [event for event in site.events(run.id) if event["event"] == "step.started"]
    return {int(event["step"]) for event in started if f"-{pid}-" in event["worker"]}


def _gather(site: WorkerSite, run: Run) -> Result:
    """Gather a run; check that every step has settled once and that nothing of it is left anywhere."""
    result = run.gather(timeout=30)
    settled = [event["step"] for event in site.events(run.id) if event.get("status")]
    assert sorted(settled, key=int) == [str(number) for number in range(run.total_steps)]
    assert Producer.attach(site.producer, run.id).gather(timeout=20) == result
    wait_until(lambda: not site.claims())
    return result
