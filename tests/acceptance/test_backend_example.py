"""The example backend over HTTP: a real uvicorn process before real workers, as its README starts them."""

import json
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from config.settings import load_settings
from examples.backend.orchestration import VIEWS
from producer.cli.live import live_workers_by
from producer.launcher.supervisor import Site
from tests.support.ledgers import running_server, server_programs
from tests.support.processes import ROOT, clean_environment, untraced, wait_until

CLIENTS = 20
REQUESTS_EACH = 10
"""So a round is 200 requests, twenty at any time."""

ROUNDS = 10
"""Tries: what else the machine does can only make a round slower, so the best one is the truth."""

LONGEST_READ_MS = 117.0
LIMIT_MS = 200.0
"""For a view, at the 95th percentile, on a machine that has nothing else to do."""

BUSY_LIMIT_MS = 500.0
"""However busy the machine is: views that wait for each other take a second, one read after the other 753 ms."""

ERROR_WITHIN_S = 5.0

SETTINGS = {"STEPLINE_CONFIG": str(ROOT / "examples" / "backend" / "site.toml")}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start a site for the tests of this module; return the environment of what joins it."""
    folder = tmp_path_factory.mktemp("backend")
    variables = untraced(
        clean_environment(
            STEPLINE_DATA_DIR=str(folder / "data"),
            BACKEND_DATABASE=str(folder / "backend.sqlite"),
            **SETTINGS,
        )
    )
    settings = load_settings(variables)
    site = Site(settings, live_workers=live_workers_by(settings), env=variables, cwd=ROOT, log_dir=folder / "logs")
    try:
        site.start()
        yield variables
    finally:
        site.stop()


@pytest.fixture(scope="module")
def port(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serving(environment, tmp_path_factory.mktemp("serving")) as port:
        yield port


@pytest.fixture(scope="module")
def backend(port: int) -> Iterator[httpx.Client]:
    with client_of(port) as client:
        yield client


@contextmanager
def serving(environment: Mapping[str, str], folder: Path) -> Iterator[int]:
    """Serve the app for the block, as its README does; yields the port."""
    command = [sys.executable, "-m", "uvicorn", "--factory", "examples.backend.app:app"]
    log = folder / "app.log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            [*command, "--port", "0", "--no-access-log"], env=dict(environment), cwd=ROOT, stdout=file, stderr=file
        )
    try:
        wait_until(lambda: "running on" in log.read_text() or server.poll() is not None)
        assert server.poll() is None, log.read_text()
        yield int(re.findall(r"running on http://127\.0\.0\.1:(\d+)", log.read_text())[0])
    finally:
        server.terminate()
        assert server.wait(10) in (0, -signal.SIGTERM), log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()


def client_of(port: int) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)


# what it answers ------------------------------------------------------------------------------------------------------


def test_it_is_healthy_once_the_workers_know_its_steps(backend: httpx.Client) -> None:
    answer = backend.get("/health")
    healthy = {"ok": True, "workers": {"critical": 1, "parallel": 1}, "unknown_steps": []}
    assert (answer.status_code, answer.json()) == (200, healthy)


def test_the_session_view_has_all_its_parts_in_much_less_than_the_sum_of_their_times(backend: httpx.Client) -> None:
    view = backend.get("/views/session", params={"session_id": "42"}).json()
    assert view["ok"]
    assert list(view["parts"]) == list(VIEWS["session"])
    assert all(part["value"]["session_id"] == "42" for part in view["parts"].values())
    assert LONGEST_READ_MS <= view["total_ms"] < sum(part["ran_ms"] for part in view["parts"].values()) / 2


def test_a_read_that_fails_does_not_cost_the_others(backend: httpx.Client) -> None:
    answer = backend.get("/views/session", params={"session_id": "guest"})
    parts = answer.json()["parts"]
    assert (answer.status_code, answer.json()["ok"]) == (200, False)
    assert parts.pop("preferences")["error"] == {
        "type": "NoPreferences",
        "message": "session 'guest' is a guest's, and guests have no preferences",
    }
    assert {part["status"] for part in parts.values()} == {"succeeded"}


def test_a_task_is_written_done_and_seen_by_the_read_after_it(backend: httpx.Client) -> None:
    answers = [backend.post("/tasks", json={"project_id": "board", "title": title}) for title in ("One", "Two")]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json()["run"]["steps"]["board"]["value"] for answer in answers] == [{"done": 1}, {"done": 2}]


def test_tasks_of_one_project_that_come_at_once_are_all_done_once(backend: httpx.Client) -> None:
    def create(number: int) -> httpx.Response:
        return backend.post("/tasks", json={"project_id": "busy", "title": f"Task {number}"})

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(create, range(8)))
    assert all(answer.json()["run"]["ok"] for answer in answers)
    last = backend.post("/tasks", json={"project_id": "busy", "title": "The last"}).json()
    assert last["run"]["steps"]["board"]["value"] == {"done": 9}


def test_a_task_does_not_wait_for_one_of_another_project(backend: httpx.Client) -> None:
    slow = {"project_id": "slow", "title": "Slow", "work_s": 50}
    place = backend.post("/tasks", params={"wait": "false"}, json=slow).headers["Location"]
    wait_until(lambda: "created" in backend.get(place).json()["steps"])
    assert backend.post("/tasks", json={"project_id": "quick", "title": "Quick"}).json()["run"]["ok"]
    assert backend.get(place).json()["state"] == "running"
    backend.delete(place)
    wait_until(lambda: backend.get(place).json()["state"] == "completed")


def test_a_task_that_nobody_waits_for_can_be_followed_by_its_run(backend: httpx.Client) -> None:
    answer = backend.post("/tasks", params={"wait": "false"}, json={"project_id": "quiet", "title": "Later"})
    assert answer.status_code == 202
    place = answer.headers["Location"]
    wait_until(lambda: backend.get(place).json()["state"] == "completed")
    assert backend.get(place).json()["steps"]["executed"]["value"] == "done"


def test_a_run_that_is_cancelled_stops(backend: httpx.Client) -> None:
    slow = {"project_id": "cancelled", "title": "Slow", "work_s": 50}
    place = backend.post("/tasks", params={"wait": "false"}, json=slow).headers["Location"]
    wait_until(lambda: "created" in backend.get(place).json()["steps"])
    assert backend.delete(place).status_code == 202
    wait_until(lambda: backend.get(place).json()["state"] == "completed")
    run = backend.get(place).json()
    statuses = {name: one["status"] for name, one in run["steps"].items()}
    assert run["ok"] is False
    assert statuses == {"created": "succeeded", "executed": "cancelled", "board": "cancelled"}
    after = backend.post("/tasks", json={"project_id": "cancelled", "title": "Next"}).json()
    assert after["run"]["steps"]["board"]["value"] == {"done": 1, "open": 1}


def test_a_run_can_be_followed_from_its_start_to_its_end(backend: httpx.Client) -> None:
    task = {"project_id": "followed", "title": "Short", "work_s": 0.5}
    place = backend.post("/tasks", params={"wait": "false"}, json=task).headers["Location"]
    text = backend.get(f"{place}/events").text
    events = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    assert (events[0]["event"], events[-1]["event"]) == ("run.started", "run.completed")
    assert [one["step"] for one in events if one["event"] == "step.completed"] == ["created", "executed", "board"]
    rest = backend.get(f"{place}/events", headers={"Last-Event-ID": events[-2]["id"]}).text
    assert rest.startswith(f"id: {events[-1]['id']}\n")


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "kind"),
    [
        ("GET", "/views/atlas?session_id=1", None, 404, "UnknownView"),
        ("GET", "/views/session", None, 422, "InvalidRequest"),
        ("POST", "/tasks", {"title": 7}, 422, "InvalidRequest"),
        ("POST", "/tasks", {"project_id": "a\nb", "title": "Paint"}, 422, "InvalidBatch"),
        ("GET", "/runs/none", None, 404, "RunUnknown"),
        ("DELETE", "/runs/none", None, 404, "RunUnknown"),
        ("GET", "/runs/none/events", None, 404, "RunUnknown"),
    ],
)
def test_what_cannot_be_done_is_refused(
    backend: httpx.Client, method: str, path: str, body: Any, code: int, kind: str
) -> None:
    answer = backend.request(method, path, json=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (code, kind)
    assert answer.json()["error"]["message"]


def test_without_a_broker_it_says_so_in_time(lonely: "Lonely") -> None:
    with client_of(lonely.port) as client:
        assert client.get("/runs/none").status_code == 404
        lonely.redis.kill()
        lonely.redis.wait(10)
        for method, path, body in (
            ("GET", "/health", None),
            ("GET", "/views/session?session_id=1", None),
            ("POST", "/tasks", {"project_id": "p", "title": "Paint"}),
            ("GET", "/runs/none", None),
            ("DELETE", "/runs/none", None),
        ):
            answer, took_s = timed(lambda method=method, path=path, body=body: client.request(method, path, json=body))
            assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "1")
            assert answer.json()["error"]["type"] == "BrokerUnavailable"
            assert took_s < ERROR_WITHIN_S


def test_a_broker_that_hangs_holds_up_no_caller_for_longer(lonely: "Lonely") -> None:
    with client_of(lonely.port) as client:
        assert client.get("/runs/none").status_code == 404
        lonely.redis.suspend()
        answer, took_s = timed(lambda: client.get("/runs/none"))
        lonely.redis.resume()
        assert answer.status_code == 503
        assert took_s < ERROR_WITHIN_S + 1
        assert client.get("/runs/none").status_code == 404


def test_without_workers_it_is_not_healthy_and_says_what_is_missing(lonely: "Lonely") -> None:
    with client_of(lonely.port) as client:
        health = client.get("/health")
        assert health.status_code == 503
        assert "CreateTaskStep" in health.json()["unknown_steps"]
        view = client.get("/views/checkout", params={"session_id": "1"})
        assert (view.status_code, view.json()["error"]["type"]) == (503, "UnknownStep")


@dataclass(frozen=True, slots=True)
class Lonely:
    """A backend whose site is a Redis server without workers."""

    redis: psutil.Process
    port: int


def test_the_site_has_a_place_for_every_read_of_twenty_views(environment: Mapping[str, str]) -> None:
    assert load_settings(environment).queue("parallel").concurrency == CLIENTS * len(VIEWS["session"])


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Lonely]:
    programs = server_programs()
    before = set(psutil.Process().children())
    with running_server(programs.get("system") or programs["redis 6.2"]) as url:
        (redis,) = set(psutil.Process().children()) - before
        variables = clean_environment(STEPLINE_REDIS_URL=url, STEPLINE_DATA_DIR=str(tmp_path), **SETTINGS)
        with serving(variables, tmp_path) as port:
            yield Lonely(redis, port)


def timed(call: Callable[[], httpx.Response]) -> tuple[httpx.Response, float]:
    began_s = time.monotonic()
    return call(), time.monotonic() - began_s


# how fast it answers --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """How long the views of a round took, and what else the machine did meanwhile."""

    took_ms: tuple[float, ...]
    others_share: float  # of the machine's CPU time, used by processes that are not of this test

    @property
    def median_ms(self) -> float:
        return statistics.median(self.took_ms)

    @property
    def p95_ms(self) -> float:
        return statistics.quantiles(self.took_ms, n=20)[-1]

    @property
    def limit_ms(self) -> float:
        """What is allowed: beyond the longest read it is CPU time and waiting for CPU, and others stretch both."""
        ours = 1 - self.others_share
        return min(BUSY_LIMIT_MS, LONGEST_READ_MS + (LIMIT_MS - LONGEST_READ_MS) / max(ours, 0.1) ** 2)

    def __str__(self) -> str:
        return (
            f"median {self.median_ms:.0f} ms, p95 {self.p95_ms:.0f} ms of {len(self.took_ms)} views; "
            f"allowed {self.limit_ms:.0f} ms with {self.others_share:.0%} of the CPU used by others"
        )


def test_twenty_clients_at_once_get_the_ten_step_view_in_under_200_ms(port: int) -> None:
    rounds = [one_round(port)]  # the warm-up, which does not count
    while len(rounds) <= ROUNDS and (len(rounds) == 1 or rounds[-1].p95_ms >= rounds[-1].limit_ms):
        rounds.append(one_round(port))
    last = rounds[-1]
    print(last)
    assert last.p95_ms < last.limit_ms, "\n".join(map(str, rounds[1:]))
    assert LONGEST_READ_MS <= last.median_ms < last.limit_ms


def one_round(port: int) -> Round:
    """Let all clients ask again and again, each over a connection of its own that is kept."""
    command = [sys.executable, "-m", "tests.support.view_load", str(port), str(CLIENTS), str(REQUESTS_EACH)]
    before = CpuTimes.now()
    done = subprocess.run(command, cwd=ROOT, env=untraced(clean_environment()), capture_output=True, check=True)
    return Round(took_ms=tuple(json.loads(done.stdout)), others_share=CpuTimes.now().others_share_since(before))


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTimes:
    """Seconds of CPU time so far: of this process and what it started, of everybody, and of everybody and nobody."""

    ours_s: float
    busy_s: float
    total_s: float

    @classmethod
    def now(cls) -> "CpuTimes":
        me = psutil.Process()
        # With those of the children that have ended, such as a round's clients.
        ours = [
            *me.cpu_times()[:4],
            *(times for child in me.children(recursive=True) for times in child.cpu_times()[:2]),
        ]
        machine = psutil.cpu_times()
        idle_s = machine.idle + machine.iowait
        total_s = sum(machine[:8])  # what follows, guests, is in the first
        return cls(ours_s=sum(ours), busy_s=total_s - idle_s, total_s=total_s)

    def others_share_since(self, before: "CpuTimes") -> float:
        others_s = self.busy_s - before.busy_s - (self.ours_s - before.ours_s)
        return max(0.0, others_s / (self.total_s - before.total_s))
