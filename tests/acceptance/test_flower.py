"""Flower beside a site: every step is a task of its own there, and revoking it there cancels it for good."""

import json
import os
import signal
import socket
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import redis

from tests.support.latches import Latch
from tests.support.processes import wait_until
from tests.support.worker_sites import WorkerSite

LOGIN = "someone:hunter2"
SECRET = "nobody-may-see-this"
"""Rides in parameters and values, and must ride in no answer of Flower's."""

SHOWN_S = 15.0
"""Within this time, Flower shows what has happened; it asks workers that it did not know every five seconds."""


class FlowerSite:
    """A site with Flower, and what Flower says of it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        variables = {
            "STEPLINE_FLOWER_PORT": str(self.port),
            "STEPLINE_FLOWER_BASIC_AUTH": LOGIN,
            # Of some other program's: neither Celery nor Flower may obey them.
            "CELERY_BROKER_URL": "amqp://nowhere.invalid",
            "FLOWER_BASIC_AUTH": "other:login",
            "FLOWER_PORT": "1",
        }
        self.workers = WorkerSite(folder, scale={"critical": 1}, variables=variables, with_flower=True)

    def start(self) -> None:
        self.workers.start()
        wait_until(lambda: len(self.alive()) == 2, SHOWN_S)

    def ask(self, path: str, *, post: bool = False, login: str | None = LOGIN) -> str:
        """Return what Flower answers."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=b"" if post else None)
        if login is not None:
            request.add_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def alive(self) -> list[str]:
        """Return the workers whose heartbeats Flower hears; nothing while it does not answer yet."""
        try:
            return [name for name, is_alive in json.loads(self.ask("/api/workers?status=true")).items() if is_alive]
        except OSError:
            return []

    def tasks(self, run_id: str) -> dict[str, dict[str, Any]]:
        """Return what Flower has of a run's steps, by step id."""
        found = json.loads(self.ask("/api/tasks?limit=1000"))
        return {uuid.split(".")[1]: task for uuid, task in found.items() if uuid.startswith(f"{run_id}.")}

    def wait_for(self, run_id: str, states: dict[str, str]) -> dict[str, dict[str, Any]]:
        """Wait until Flower shows just these steps of a run in these states; returns them."""
        with suppress(AssertionError):
            wait_until(lambda: self.states(run_id) == states, SHOWN_S)
        assert self.states(run_id) == states
        return self.tasks(run_id)

    def states(self, run_id: str) -> dict[str, str]:
        return {step_id: task["state"] for step_id, task in self.tasks(run_id).items()}

    def revoke(self, run_id: str, step_id: str, **options: str) -> None:
        query = "&".join(f"{name}={value}" for name, value in options.items())
        self.ask(f"/api/task/revoke/{run_id}.{step_id}?{query}", post=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def flower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowerSite]:
    site = FlowerSite(tmp_path_factory.mktemp("flower"))
    try:
        site.start()
        yield site
    finally:
        site.workers.stop()


def test_every_step_is_a_task_under_its_own_name_with_no_parameter_and_no_value(
    flower: FlowerSite, tmp_path: Path
) -> None:
    journal = {"journal": str(tmp_path / SECRET)}
    run = flower.workers.producer.submit(
        [
            {"name": "GetEchoStep", "id": f"Echo{number}", "params": {"value": f"{SECRET}-{number}"}}
            for number in range(4)
        ]
        + [
            {"name": "GetFailureStep", "params": {"message": "x" * 500}},
            {"name": "GetFixedStep", "params": journal},
            {"name": "WriteLinearStep", "params": journal},
            {"name": "WriteEchoStep", "params": {"value": {"password": SECRET}}},
            {"name": "WriteFailureStep"},
            {"name": "WriteEchoStep", "id": "Never"},
        ],
        context={"token": SECRET},
    )
    result = run.gather(timeout=30)
    states = dict.fromkeys(
        ("Echo0", "Echo1", "Echo2", "Echo3", "GetFixedStep", "WriteLinearStep", "WriteEchoStep"), "SUCCESS"
    )
    states |= {"GetFailureStep": "FAILURE", "WriteFailureStep": "FAILURE", "Never": "REVOKED"}
    tasks = flower.wait_for(run.id, states)
    for outcome in result.outcomes:
        task = tasks[outcome.id]
        assert (task["name"], task["args"]) == (outcome.name, f"('{run.id}', '{outcome.id}')")
        assert task["kwargs"] == "{}"
        assert task["result"] == outcome.status
        assert task["retries"] == max(outcome.attempts - 1, 0)
        assert task["routing_key"] == outcome.queue
        assert task["worker"].startswith(f"{outcome.queue}-")
        if outcome.attempts:
            assert task["runtime"] == pytest.approx((outcome.ran_ms or 0) / 1000)
            assert task["received"] <= task["started"] <= task["timestamp"]
            assert task["started"] == pytest.approx((outcome.started_ms or 0) / 1000, abs=0.5)
    for name in ("GetFixedStep", "WriteLinearStep"):
        assert tasks[name]["retries"] == 2
        assert tasks[name]["retried"] < tasks[name]["started"]
    assert tasks["GetFailureStep"]["exception"].startswith("ValueError: xxx")
    assert len(tasks["GetFailureStep"]["exception"]) < 250
    answers = [
        flower.ask("/api/tasks?limit=1000"),
        flower.ask("/api/workers?refresh=true"),
        flower.ask("/tasks/datatable?draw=1&start=0&length=100&order[0][column]=0&columns[0][data]=name"),
        *(flower.ask(f"/{page}/{run.id}.{step}") for page in ("task", "api/task/info") for step in tasks),
    ]
    assert [answer for answer in answers if SECRET in answer or "stepline.parcel" in json.dumps(tasks)] == []


def test_flower_asks_for_its_password_and_takes_no_other(flower: FlowerSite) -> None:
    for login in (None, "someone:else", "other:login"):
        for path in ("/tasks", "/api/tasks", "/broker"):
            with pytest.raises(HTTPError, match="401"):
                flower.ask(path, login=login)
    assert flower.ask("/healthcheck", login=None) == "OK"


def test_what_is_a_setting_cannot_be_changed_there(flower: FlowerSite) -> None:
    (worker,) = [name for name in flower.alive() if name.startswith("critical-")]
    for path in (f"pool/grow/{worker}?n=3", f"queue/add-consumer/{worker}?queue=parallel"):
        with pytest.raises(HTTPError) as refused:
            flower.ask(f"/api/worker/{path}", post=True)
        assert "Stepline's settings" in refused.value.read().decode()


def test_the_page_of_the_broker_shows_the_queues(flower: FlowerSite) -> None:
    lengths = json.loads(flower.ask("/api/queues/length"))["active_queues"]
    assert sorted((queue["name"], queue["messages"]) for queue in lengths) == [("critical", 0), ("parallel", 0)]
    assert '<tr id="parallel">' in flower.ask("/broker")


@pytest.mark.parametrize("name", ["GetHeldStep", "GetAwaitedStep", "WriteHeldStep", "WriteAwaitedStep"])
def test_a_running_step_that_is_revoked_is_cancelled(
    flower: FlowerSite, latches: Callable[[str], Latch], name: str
) -> None:
    latch = latches(name)
    run = flower.workers.producer.submit([latch.call(name)])
    latch.wait_until_begun()
    flower.wait_for(run.id, {name: "STARTED"})
    flower.revoke(run.id, name, terminate="true", signal="SIGKILL")
    (outcome,) = run.gather(timeout=20).outcomes
    assert (outcome.status, outcome.attempts) == ("cancelled", 1)
    flower.wait_for(run.id, {name: "REVOKED"})


def test_a_waiting_step_that_is_revoked_never_starts_and_the_others_do(flower: FlowerSite, latch: Latch) -> None:
    steps = [latch.call("WriteHeldStep"), "WriteEchoStep", {"name": "WriteEchoStep", "id": "Last"}]
    run = flower.workers.producer.submit(steps, strategy="simple")
    flower.wait_for(run.id, {"WriteHeldStep": "STARTED", "WriteEchoStep": "RECEIVED", "Last": "RECEIVED"})
    flower.revoke(run.id, "WriteEchoStep")
    flower.revoke("no-such-run", "WriteEchoStep")
    flower.revoke(run.id, "NoSuchStep")
    flower.wait_for(run.id, {"WriteHeldStep": "STARTED", "WriteEchoStep": "REVOKED", "Last": "RECEIVED"})
    latch.open()
    outcomes = run.gather(timeout=20).outcomes
    assert [(one.status, one.attempts) for one in outcomes] == [("succeeded", 1), ("cancelled", 0), ("succeeded", 1)]
    flower.wait_for(run.id, {"WriteHeldStep": "SUCCESS", "WriteEchoStep": "REVOKED", "Last": "SUCCESS"})


def test_a_step_whose_child_is_killed_for_overrunning_is_shown_as_failed(flower: FlowerSite, latch: Latch) -> None:
    run = flower.workers.producer.submit([latch.call("WriteDeafStep", timeout=0.2)])
    assert [one.status for one in run.gather(timeout=20).outcomes] == ["timed_out"]
    (task,) = flower.wait_for(run.id, {"WriteDeafStep": "FAILURE"}).values()
    assert task["result"] == "timed_out"
    assert task["exception"].startswith("StepTimeout: ")


def test_flower_and_redis_may_die_and_steps_are_shown_again(flower: FlowerSite) -> None:
    first = flower.workers.flower_pid()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    flower.workers.restart_redis()
    wait_until(lambda: flower.workers.flower_pid() not in (None, first))
    wait_until(lambda: len(flower.alive()) == 2, SHOWN_S)
    run = flower.workers.producer.submit(["GetEchoStep", "WriteEchoStep"])
    assert run.gather(timeout=20).ok
    flower.wait_for(run.id, {"GetEchoStep": "SUCCESS", "WriteEchoStep": "SUCCESS"})


def test_where_the_port_is_taken_the_site_is_up_without_flower(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        variables = {"STEPLINE_FLOWER_PORT": str(other.getsockname()[1])}
        site = WorkerSite(tmp_path, scale={"critical": 0}, variables=variables, with_flower=True)
        site.start()
        try:
            assert site.flower_pid() is None
            assert site.producer.run(["GetEchoStep"], timeout=20).ok
        finally:
            site.stop()


def test_while_nobody_listens_nothing_is_sent(site: WorkerSite) -> None:
    with redis.Redis.from_url(site.url) as client:
        client.config_resetstat()
        result = site.producer.run(["GetEchoStep", "WriteEchoStep"], timeout=20)
        assert result.ok
        sent = client.info("commandstats")
    assert "cmdstat_publish" not in sent
