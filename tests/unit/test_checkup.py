"""The check-up of a site: each finding from the facts that lead to it, and no password in any of it."""

import importlib.metadata
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings, load_settings
from producer.doctor import checkup
from producer.doctor.check_record import Check, listed
from producer.doctor.checkup import check_ledger, check_up
from producer.doctor.server_checks import (
    check_answer,
    check_clock,
    check_eviction,
    check_memory,
    check_persistence,
    check_rollbacks,
    check_version,
)
from producer.doctor.shown_settings import MASK, masked_url, shown_settings
from producer.doctor.site_checks import check_broker, check_project, check_site, check_steps, check_workers
from steps.definition import StepFacts
from steps.errors import BrokerUnavailable
from steps.ledger.records import WorkerCard

NO_PID = 2**31 - 1
APPEND_ONLY = {"aof_enabled": 1}
CARDS = (
    WorkerCard("critical@h-1", "critical", b'{"slots": 1}'),
    WorkerCard("parallel@h-2", "parallel", b'{"slots": 20}'),
)


@dataclass
class PretendLedger:
    """A ledger on a server that says what it is told to."""

    facts: Mapping[str, Any] = field(default_factory=lambda: {"redis_version": "7.0.15", **APPEND_ONLY})
    cards: tuple[WorkerCard, ...] = CARDS
    known: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def site(self) -> "PretendLedger":
        return self

    def server_facts(self) -> Mapping[str, Any]:
        return self.facts

    def config_facts(self) -> Mapping[str, Any]:
        return {"appendfsync": "everysec"}

    def workers(self) -> tuple[WorkerCard, ...]:
        return self.cards

    def rollbacks(self) -> tuple[int, float | None]:
        return 0, None

    def known_steps(self) -> dict[str, bytes]:
        return dict(self.known)

    def close(self) -> None: ...


class PretendPublisher:
    """A broker whose queues are empty."""

    def depth(self, queue: str) -> int | None:
        return 0

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ({"redis_version": "6.2.14"}, "ok"),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.1"}, "ok"),
        ({"redis_version": "6.0.16"}, "problem"),
        ({"redis_version": "7.0.15", "redis_mode": "cluster"}, "problem"),
        ({}, "problem"),
    ],
)
def test_a_server_must_be_new_enough_and_no_cluster(facts: dict[str, Any], verdict: str) -> None:
    assert check_version(facts).verdict == verdict


@pytest.mark.parametrize(
    ("facts", "config", "verdict", "found"),
    [
        (APPEND_ONLY, {"appendfsync": "always"}, "ok", "loses nothing"),
        (APPEND_ONLY, {"appendfsync": "everysec"}, "ok", "up to a second"),
        (APPEND_ONLY, {"appendfsync": "no"}, "warning", "when the system likes"),
        (APPEND_ONLY, {}, "ok", "does not tell"),
        ({}, {"save": "3600 1"}, "warning", "snapshots only"),
        ({}, {}, "warning", "snapshots only"),
        ({}, {"appendonly": "no", "save": ""}, "problem", "loses every run"),
        ({**APPEND_ONLY, "aof_last_write_status": "err"}, {}, "problem", "append-only file failed"),
        ({**APPEND_ONLY, "rdb_last_bgsave_status": "err"}, {}, "problem", "snapshot failed"),
    ],
)
def test_what_a_restart_would_lose_is_said(
    facts: dict[str, Any], config: dict[str, Any], verdict: str, found: str
) -> None:
    check = check_persistence(facts, config)
    assert check.verdict == verdict
    assert found in check.found


@pytest.mark.parametrize(("policy", "verdict"), [("noeviction", "ok"), ("allkeys-lru", "problem")])
def test_a_server_that_evicts_is_a_problem(policy: str, verdict: str) -> None:
    assert check_eviction({"maxmemory_policy": policy}).verdict == verdict


@pytest.mark.parametrize(
    ("used", "limit", "machine", "verdict"),
    [
        (50, 100, 100, "ok"),
        (80, 100, 1000, "warning"),
        (95, 100, 1000, "problem"),
        (80, 0, 100, "warning"),
        (9, 0, 0, "ok"),
    ],
)
def test_memory_is_measured_against_the_limit_or_the_machine(used: int, limit: int, machine: int, verdict: str) -> None:
    facts = {"used_memory": used << 20, "maxmemory": limit << 20, "total_system_memory": machine << 20}
    assert check_memory(facts, 0.9).verdict == verdict


def test_a_server_that_refuses_new_runs_is_a_problem() -> None:
    check = check_memory({"used_memory": 60 << 20, "maxmemory": 100 << 20}, 0.5)
    assert check.verdict == "problem"
    assert "new runs are refused from 50% on" in check.found


def test_what_does_not_count_against_the_limit_is_no_memory_in_use() -> None:
    facts = {"used_memory": 90 << 20, "maxmemory": 100 << 20, "mem_not_counted_for_evict": 20 << 20}
    check = check_memory(facts, 0.9)
    assert (check.verdict, check.found) == ("ok", "70.0 MiB used of 100 MiB (its maxmemory)")


@pytest.mark.parametrize(
    ("times", "last_ms", "verdict", "words"),
    [
        (0, None, "ok", "never came back with older data"),
        (1, 500_000.0, "warning", "once, last at 1970-01-01T00:0"),
        (2, 400_000.0, "ok", "2 times, last at 1970-01-01T00:0"),
    ],
)
def test_a_server_that_came_back_older_is_told_as_long_as_its_runs_are_there(
    times: int, last_ms: float | None, verdict: str, words: str
) -> None:
    check = check_rollbacks(times, last_ms, 1000.0, 550.0)
    assert check.verdict == verdict
    assert words in check.found


@pytest.mark.parametrize(
    ("ahead_s", "verdict", "side"),
    [(0.01, "ok", "ahead of"), (-0.01, "ok", "behind"), (-3.0, "warning", "behind"), (90.0, "problem", "ahead of")],
)
def test_the_difference_of_the_clocks_is_told(ahead_s: float, verdict: str, side: str) -> None:
    check = check_clock({"server_time_usec": 1_000_000_000}, 1000.0 + ahead_s)
    assert check.verdict == verdict
    assert f"{abs(ahead_s):.3f} s {side} Redis" in check.found


def test_a_server_that_does_not_tell_its_time_is_no_problem() -> None:
    assert check_clock({}, 1.0).verdict == "ok"


@pytest.mark.parametrize(("took_ms", "verdict"), [(0.4, "ok"), (35.0, "warning")])
def test_a_slow_round_trip_is_a_warning(took_ms: float, verdict: str) -> None:
    assert check_answer(took_ms).verdict == verdict


def test_each_queue_needs_a_live_worker() -> None:
    checks = by_name(check_workers(Settings(), CARDS[:1]))
    assert checks["workers of critical"].found == "1 live, 1 slots"
    assert checks["workers of parallel"].verdict == "problem"
    assert "--queue parallel" in str(checks["workers of parallel"].advice)


def test_workers_of_queues_that_the_settings_lack_are_a_warning() -> None:
    checks = by_name(check_workers(Settings(), (*CARDS, WorkerCard("x", "reports", b"{}"))))
    assert checks["other queues"].verdict == "warning"
    assert "reports" in checks["other queues"].found


def test_steps_that_no_worker_knows_are_a_warning_and_the_other_way_round_is_none() -> None:
    here = {"A": StepFacts("A"), "B": StepFacts("B")}
    check = check_steps(here, {"B": StepFacts("B"), "C": StepFacts("C")})
    assert check.verdict == "warning"
    assert "no live worker knows A" in check.found
    assert "only there: C" in check.found
    assert check_steps({}, {"C": StepFacts("C")}).verdict == "ok"


def test_a_step_that_workers_declare_otherwise_is_a_warning() -> None:
    check = check_steps({"A": StepFacts("A", critical=True)}, {"A": StepFacts("A")})
    assert check.verdict == "warning"
    assert "declared otherwise there: A" in check.found


def test_a_long_list_of_names_is_cut() -> None:
    assert listed([f"S{number}" for number in range(8)]) == "S0, S1, S2, S3, S4 and 3 more"


def test_the_broker_tells_what_waits() -> None:
    assert "2 in critical, 2 in parallel" in check_broker(Settings(), lambda queue: 2).found
    assert check_broker(Settings(), lambda queue: None).verdict == "problem"


def test_a_broker_that_fails_in_its_own_way_is_a_problem_without_its_password() -> None:
    def refuse(queue: str) -> int | None:
        raise PermissionError("ACCESS_REFUSED")

    check = check_broker(load_settings({"STEPLINE_BROKER_URL": "amqp://me:sesame@broker//"}), refuse)
    assert check.verdict == "problem"
    assert "ACCESS_REFUSED" in check.found
    assert "sesame" not in check.found


def test_without_a_site_the_rest_is_told_all_the_same(tmp_path: Path) -> None:
    found = check_up(load_settings({"STEPLINE_DATA_DIR": str(tmp_path)}), {})
    assert not found.has_broker
    assert not found.ok
    assert by_name(found.checks)["site"].found == f"none is up in {tmp_path}"
    assert found.versions["celery"]
    assert "server" not in found.versions
    assert [setting.source for setting in found.settings if setting.name == "data_dir"] == ["environment"]


def test_the_file_of_a_site_whose_process_is_gone_is_called_stale(tmp_path: Path) -> None:
    (tmp_path / "site.json").write_text(json.dumps({"url": "unix:///gone", "pid": NO_PID}))
    check = check_site(load_settings({"STEPLINE_DATA_DIR": str(tmp_path)}), None)
    assert check.verdict == "problem"
    assert "stale" in check.found


def test_a_site_that_is_up_names_its_process_and_one_that_hangs_says_so(tmp_path: Path) -> None:
    (tmp_path / "site.json").write_text(json.dumps({"url": "unix:///up", "pid": os.getpid()}))
    settings = load_settings({"STEPLINE_DATA_DIR": str(tmp_path)})
    assert check_site(settings, "unix:///up").found == f"up in {tmp_path}, process {os.getpid()}"
    hanging = check_site(settings, None)
    assert hanging.verdict == "problem"
    assert "its Redis does not answer" in hanging.found


def test_a_package_that_is_missing_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def version(name: str) -> str:
        if name == "flower":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = check_up(load_settings({"STEPLINE_DATA_DIR": str(tmp_path)}), {})
    assert by_name(found.checks)["versions"].verdict == "warning"
    assert found.versions["flower"] is None


def test_a_redis_that_does_not_answer_is_a_problem_without_its_password() -> None:
    url = "redis://:sesame@127.0.0.1:1/0?password=open"
    found = check_up(load_settings({"STEPLINE_REDIS_URL": url}), {})
    assert not found.has_broker
    assert by_name(found.checks)["redis"].verdict == "problem"
    told = json.dumps(found.as_dict())
    assert "sesame" not in told
    assert "open" not in told.replace("stepline", "").replace("open_", "")


def test_a_whole_site_is_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "Ledger", lambda *_, **__: PretendLedger())
    monkeypatch.setattr(checkup, "Publisher", lambda app: PretendPublisher())
    found = check_up(load_settings({"STEPLINE_REDIS_URL": "redis://127.0.0.1:1/0"}), {})
    assert found.ok
    assert found.has_broker
    assert found.versions["server"] == "redis 7.0.15"


def test_a_broker_that_is_gone_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "Ledger", lambda *_, **__: PretendLedger())
    monkeypatch.setattr(PretendPublisher, "depth", lambda self, queue: None)
    monkeypatch.setattr(checkup, "Publisher", lambda app: PretendPublisher())
    found = check_up(load_settings({"STEPLINE_REDIS_URL": "redis://127.0.0.1:1/0"}), {})
    assert (found.ok, found.has_broker) == (False, False)


def test_a_redis_that_goes_away_in_between_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(PretendLedger):
        def workers(self) -> tuple[WorkerCard, ...]:
            raise BrokerUnavailable("it does not answer")

    monkeypatch.setattr(checkup, "Ledger", lambda *_, **__: Gone())
    found = check_up(load_settings({"STEPLINE_REDIS_URL": "redis://127.0.0.1:1/0"}), {})
    assert by_name(found.checks)["redis"].found == "it does not answer"


def test_without_live_workers_nobody_knows_the_steps() -> None:
    ledger = PretendLedger(cards=(), known={"A": StepFacts("A").to_json().encode()})
    checks, _ = check_ledger(ledger, Settings(), {"A": StepFacts("A")})
    assert "no live worker knows A" in by_name(checks)["steps"].found


def test_what_cannot_be_imported_and_wrong_rules_are_problems(tmp_path: Path) -> None:
    settings = load_settings({"STEPLINE_RULES_FILE": str(tmp_path / "missing.toml")})
    checks = by_name(check_project(settings, ["step module 'x' can't be imported"]))
    assert checks["rules"].verdict == "problem"
    assert checks["step modules"].verdict == "problem"
    assert not list(check_project(Settings(), []))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:sesame@host/1", "redis://***@host/1"),
        ("rediss://me:sesame@host:1?ssl_cert_reqs=none", "rediss://***@host:1?ssl_cert_reqs=none"),
        ("unix:///run/redis.sock?db=1&password=sesame", "unix:///run/redis.sock?db=1&password=***"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert masked_url(url) == shown


def test_every_setting_is_shown_with_its_source_and_secrets_are_masked() -> None:
    settings = load_settings({"STEPLINE_REDIS_URL": "redis://:sesame@host/1", "STEPLINE_RETRIES": "3"})
    shown = {setting.name: setting for setting in shown_settings(settings)}
    assert list(shown) == list(Settings.model_fields)
    assert (shown["retries"].value, shown["retries"].source) == (3, "environment")
    assert shown["order"].source == "default"
    assert shown["redis_url"].value == f"redis://{MASK}@host/1"
    assert shown["broker_url"].value is None


def test_every_check_that_is_not_ok_says_what_to_do(tmp_path: Path) -> None:
    checks, _ = check_ledger(PretendLedger(facts={"redis_version": "5.0"}, cards=()), Settings(), {"A": StepFacts("A")})
    found = check_up(load_settings({"STEPLINE_DATA_DIR": str(tmp_path)}), {}).checks
    assert [check.name for check in (*checks, *found) if (check.advice is None) != (check.verdict == "ok")] == []


def by_name(checks: Any) -> dict[str, Check]:
    return {check.name: check for check in checks}
