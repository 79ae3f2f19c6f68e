"""``stepline health``: 0 where all is well, 1 where a queue has no worker here, 3 where Redis is of no use."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from producer.cli import health, main
from steps.errors import BrokerUnavailable, UnfitRedis
from steps.ledger import Ledger
from steps.ledger.records import Beat
from tests.support.ledgers import fake_client, ledger_on
from tests.support.processes import clean_environment

HERE = socket.gethostname()
NOBODYS_PID = 2**22 + 1
"""One above the largest that Linux gives."""

SCHEMA = {
    "type": "object",
    "required": ["ok", "host", "queue", "workers", "problem"],
    "additionalProperties": False,
    "properties": {
        "ok": {"type": "boolean"},
        "host": {"type": "string", "minLength": 1},
        "queue": {"type": ["string", "null"]},
        "workers": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["worker_id", "queue", "pid", "pool", "slots", "started_ms"],
                "additionalProperties": False,
                "properties": {
                    "worker_id": {"type": "string"},
                    "queue": {"type": "string"},
                    "pid": {"type": "integer", "minimum": 1},
                    "pool": {"enum": ["prefork", "threads"]},
                    "slots": {"type": "integer", "minimum": 1},
                    "started_ms": {"type": "number"},
                },
            },
        },
        "problem": {"type": ["string", "null"]},
    },
}


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A ledger without workers, on a Redis that is fit; the command asks it."""
    ledger = ledger_on(fake_client())
    monkeypatch.setattr(ledger.site, "check_server", lambda: None)
    monkeypatch.setattr(health, "Ledger", lambda settings, url: ledger)
    monkeypatch.setenv("STEPLINE_REDIS_URL", "redis://somewhere:6379/0")
    yield ledger
    ledger.close()


def join(ledger: Ledger, worker_id: str, queue: str, **info: Any) -> None:
    told = {"host": HERE, "pid": os.getpid(), "pool": "threads", "slots": 20, "started_ms": 1_000.0, **info}
    ledger.tick(Beat(worker_id=worker_id, mode="join", queue=queue, info=json.dumps(told)))


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def test_a_redis_that_answers_and_is_fit_is_healthy_without_any_worker(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["health"]) == 0
    assert capsys.readouterr() == ("", f"stepline: healthy: Redis answers and is fit; live workers on {HERE}: 0\n")


def test_a_live_worker_of_the_queue_on_this_host_is_healthy(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    join(ledger, "p1", "parallel")
    join(ledger, "p2", "parallel")
    join(ledger, "c1", "critical")
    assert main(["health", "--queue", "parallel"]) == 0
    assert capsys.readouterr().err.endswith(f"live workers of parallel on {HERE}: 2\n")


@pytest.mark.parametrize(
    ("queue", "info"),
    [("critical", {}), ("parallel", {"host": f"not-{HERE}"}), ("parallel", {"pid": NOBODYS_PID})],
    ids=["of another queue", "on another host", "whose process is gone"],
)
def test_a_worker_that_does_not_count_leaves_the_queue_unhealthy(
    queue: str, info: dict[str, Any], ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    join(ledger, "w", queue, **info)
    assert main(["health", "--queue", "parallel"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"stepline: no live worker of parallel on {HERE}: ")
    assert err.count("\n") == 1


def test_a_worker_that_signed_off_counts_no_more(ledger: Ledger) -> None:
    join(ledger, "w", "parallel")
    assert main(["health", "--queue", "parallel"]) == 0
    ledger.tick(Beat(worker_id="w", mode="leave"))
    assert main(["health", "--queue", "parallel"]) == 1


@pytest.mark.parametrize("queue", ["parallel", "critical", None])
def test_the_document_has_the_promised_form(
    queue: str | None, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    join(ledger, "w", "parallel")
    code = main(["health", "--json", *(["--queue", queue] if queue else [])])
    said = document(capsys)
    Draft202012Validator(SCHEMA).validate(said)
    assert (said["ok"], said["problem"] is None) == (code == 0, code == 0)
    assert [worker["worker_id"] for worker in said["workers"]] == (["w"] if queue != "critical" else [])
    assert said["queue"] == queue


@pytest.mark.parametrize("error", [BrokerUnavailable("Redis at x does not answer"), UnfitRedis("it may evict keys")])
def test_a_redis_that_is_of_no_use_is_exit_code_3(
    error: Exception, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(ledger.site, "check_server", refuse)
    assert main(["health", "--queue", "critical"]) == 3
    assert capsys.readouterr().err == f"stepline: {error}\n"
    assert main(["health", "--json"]) == 3
    assert document(capsys)["error"]["type"] == type(error).__name__


def test_a_port_where_nothing_listens_is_exit_code_3_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setenv("STEPLINE_REDIS_URL", f"redis://:hidden@127.0.0.1:{taken.getsockname()[1]}/0")
        assert main(["health"]) == 3
    err = capsys.readouterr().err
    assert "does not answer" in err
    assert "hidden" not in err
    assert err.count("\n") == 1


def test_without_a_site_it_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("STEPLINE_REDIS_URL", raising=False)
    monkeypatch.setenv("STEPLINE_DATA_DIR", str(tmp_path))
    assert main(["health"]) == 3
    assert "start one with stepline up" in capsys.readouterr().err


def test_an_unknown_queue_is_bad_input_and_redis_is_not_asked(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(health, "Ledger", None)
    assert main(["health", "--queue", "paralel"]) == 2
    assert "paralel" in capsys.readouterr().err


def test_it_imports_neither_celery_nor_what_draws_tables() -> None:
    """A health check runs every few seconds beside each worker."""
    program = "import sys, producer.cli.entry, producer.cli.health as _; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], env=clean_environment(), capture_output=True, check=True)
    assert {"celery", "kombu", "rich", "yaml", "workers", "producer.producer"} & set(
        ran.stdout.decode().split()
    ) == set()
