"""Settings: every one can be changed by its variable and by the file, and a wrong one is told in full."""

import json
import os
import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from config import setting_checks
from config.errors import SettingsError
from config.settings import Settings, load_settings

QUEUES = [
    {"name": "critical", "pool": "prefork", "concurrency": 2, "prefetch": 3, "routes": []},
    {"name": "parallel", "pool": "threads", "concurrency": 5, "prefetch": 1, "routes": ["^Slow"]},
    {"name": "reports", "pool": "prefork", "concurrency": 1, "prefetch": 1, "routes": ["Report.*Step$"]},
]

# field: (text of the variable, the same in stepline.toml, what Settings then holds, a wrong text)
CHANGES = {
    "redis_url": ("redis://db:6380/3", "redis://db:6380/3", "redis://db:6380/3", "http://db"),
    "broker_url": ("amqp://mq//", "amqp://mq//", "amqp://mq//", "mq"),
    "data_dir": ("/tmp/elsewhere", "/tmp/elsewhere", Path("/tmp/elsewhere"), ""),
    "key_prefix": ("other", "other", "other", "two words"),
    "step_modules": ("one, two.three", ["one", "two.three"], ("one", "two.three"), "not-a-module"),
    "rules_file": ("/etc/rules.toml", "/etc/rules.toml", Path("/etc/rules.toml"), None),
    "unknown_is_critical": ("false", False, False, "perhaps"),
    "critical_queue": ("reports", "reports", "reports", "re/ports"),
    "parallel_queue": ("reports", "reports", "reports", ""),
    "queues": (json.dumps(QUEUES), QUEUES, None, "critical,parallel"),
    "default_lane": ("session:{session_id}", "session:{session_id}", "session:{session_id}", "a\tb"),
    "max_concurrency": ("7", 7, 7, "1001"),
    "parcel_size": ("7", 7, 7, "0"),
    "order": ("overlap", "overlap", "overlap", "random"),
    "strategy": ("simple", "simple", "simple", "best"),
    "step_timeout_s": ("2.5", 2.5, 2.5, "0.001"),
    "run_deadline_s": ("60", 60, 60.0, "604801"),
    "retries": ("3", 3, 3, "-1"),
    "critical_retries": ("1", 1, 1, "101"),
    "retry_delay_s": ("0.5", 0.5, 0.5, "-1"),
    "retry_backoff": ("linear", "linear", "linear", "quadratic"),
    "retry_jitter": ("no", False, False, "2"),
    "retry_cap_s": ("9", 9, 9.0, "inf"),
    "queue_limit": ("5", 5, 5, "0"),
    "inline_executions": ("5", 5, 5, "0"),
    "max_params_bytes": ("100", 100, 100, "0"),
    "max_value_bytes": ("100", 100, 100, "1.5"),
    "max_run_bytes": ("20000000", 20_000_000, 20_000_000, "many"),
    "max_steps": ("5", 5, 5, "0"),
    "max_depth": ("5", 5, 5, "101"),
    "max_name_chars": ("20", 20, 20, "1001"),
    "lane_hold_s": ("1", 1, 1.0, "3601"),
    "lease_s": ("3", 3, 3.0, "0.1"),
    "heartbeat_s": ("0.5", 0.5, 0.5, "nan"),
    "republish_s": ("1", 1, 1.0, "0"),
    "result_ttl_s": ("60", 60, 60, "0"),
    "known_steps_ttl_s": ("60", 60, 60, "0"),
    "memory_share": ("0.5", 0.5, 0.5, "1.1"),
    "connect_timeout_s": ("1", 1, 1.0, "61"),
    "socket_timeout_s": ("1", 1, 1.0, "61"),
    "publish_retries": ("0", 0, 0, "-1"),
    "shutdown_s": ("1", 1, 1.0, "-1"),
    "zombie_limit": ("3", 3, 3, "0"),
    "max_tasks_per_child": ("100", 100, 100, "0"),
    "max_memory_per_child_kib": ("200000", 200_000, 200_000, "0"),
    "restart_delay_s": ("1", 1, 1.0, "x"),
    "restart_delay_cap_s": ("9", 9, 9.0, "3601"),
    "log_level": ("debug", "debug", "DEBUG", "LOUD"),
    "log_format": ("text", "text", "text", "xml"),
    "flower_address": ("0.0.0.0", "0.0.0.0", "0.0.0.0", "http://here"),
    "flower_port": ("5556", 5556, 5556, "65536"),
    "flower_basic_auth": ("me:secret", "me:secret", "me:secret", "secret"),
    "flower_max_tasks": ("100", 100, 100, "0"),
}
NEEDS_QUEUES = {"critical_queue", "parallel_queue"}


def variables(name: str, text: str) -> dict[str, str]:
    more = {"STEPLINE_QUEUES": json.dumps(QUEUES)} if name in NEEDS_QUEUES else {}
    return {"HOME": "/home/someone", **more, f"STEPLINE_{name.upper()}": text}


def problems_of(environ: dict[str, str], toml_path: Path | None = None) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as raised:
        load_settings(environ, toml_path)
    assert str(raised.value) == "\n".join(raised.value.problems)
    return raised.value.problems


def toml_file(folder: Path, text: str) -> Path:
    path = folder / "stepline.toml"
    path.write_text(text, encoding="utf-8")
    return path


def held(settings: Settings, name: str) -> object:
    value = getattr(settings, name)
    return [queue.model_dump(mode="json") for queue in value] if name == "queues" else value


def expected(name: str) -> object:
    return QUEUES if name == "queues" else CHANGES[name][2]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_changed_by_its_variable(name: str) -> None:
    settings = load_settings(variables(name, CHANGES[name][0]))
    assert held(settings, name) == expected(name)
    assert held(settings, name) != held(load_settings({"HOME": "/home/someone"}), name)
    assert settings.source(name) == "environment"
    assert settings.source("order" if name != "order" else "strategy") == "default"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_changed_by_its_key_in_the_file(name: str, tmp_path: Path) -> None:
    more = {"queues": QUEUES} if name in NEEDS_QUEUES else {}
    values = {**more, name: CHANGES[name][1]}
    inline = json.dumps(QUEUES).replace('": ', '" = ')
    lines = [f"{key} = {inline if key == 'queues' else json.dumps(value)}" for key, value in values.items()]
    settings = load_settings({}, toml_file(tmp_path, "\n".join(lines)))
    assert held(settings, name) == expected(name)
    assert settings.source(name) == "stepline.toml"


ALLOWED = {
    "redis_url": "redis://, rediss:// or unix://",
    "broker_url": "a broker that Celery knows",
    "data_dir": "the path of a folder",
    "key_prefix": "1 to 50 letters",
    "step_modules": "separated by commas",
    "unknown_is_critical": "true or false",
    "critical_queue": "1 to 50 letters",
    "parallel_queue": "1 to 50 letters",
    "queues": "a list of queues, each with name, pool",
    "default_lane": "none of them a control character",
    "order": "one of critical_first, overlap",
    "strategy": "one of basic, simple",
    "retry_backoff": "one of fixed, linear, exponential, random",
    "retry_jitter": "true or false",
    "max_concurrency": "a whole number from 1 to 1000",
    "step_timeout_s": "a number of seconds from 0.01 to 86400.0",
    "max_params_bytes": "a whole number of bytes from 1 to",
    "max_memory_per_child_kib": "or nothing",
    "log_level": "one of DEBUG, INFO, WARNING, ERROR",
    "log_format": "one of json, text",
    "flower_address": "an address of this machine",
    "flower_basic_auth": "NAME:PASSWORD",
}


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if CHANGES[name][3] is not None])
def test_a_wrong_value_names_its_variable_and_what_is_allowed(name: str) -> None:
    (problem,) = problems_of(variables(name, CHANGES[name][3]))
    assert problem.startswith(f"STEPLINE_{name.upper()}: ")
    assert "is not allowed; allowed is " in problem
    assert ALLOWED.get(name, " from ") in problem.partition("; allowed is ")[2]


def test_all_wrong_values_are_reported_at_once(tmp_path: Path) -> None:
    path = toml_file(tmp_path, 'order = "any"\nretries = true\nlanes = 3\n')
    environ = {"STEPLINE_PARCEL_SIZE": "0", "STEPLINE_QUEUES": "[", "STEPLINE_RETRY": "1"}
    problems = problems_of(environ, path)
    assert len(problems) == 6
    assert f"lanes in {path} is no setting of Stepline" in "\n".join(problems)
    assert f"retries in {path}: True is not allowed; allowed is a whole number from 0 to 100" in problems
    assert any(problem.startswith(f"order in {path}: 'any' is not allowed") for problem in problems)
    assert any(problem.startswith("STEPLINE_QUEUES: '[' is not allowed") for problem in problems)
    assert any(problem.startswith("STEPLINE_PARCEL_SIZE: ") for problem in problems)


def test_an_unknown_variable_is_refused_with_the_nearest_name() -> None:
    (problem,) = problems_of({"STEPLINE_STEP_TIMEOUT": "3"})
    said = "STEPLINE_STEP_TIMEOUT is no setting of Stepline (nearest: STEPLINE_STEP_TIMEOUT_S)"
    assert problem == f"{said}; correct or remove it"


def test_an_unknown_key_of_the_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    path = toml_file(tmp_path, "step_timeout = 3")
    (problem,) = problems_of({}, path)
    assert (
        problem == f"step_timeout in {path} is no setting of Stepline (nearest: step_timeout_s); correct or remove it"
    )


def test_a_name_that_is_near_nothing_is_refused_all_the_same() -> None:
    assert problems_of({"STEPLINE_": ""}) == ("STEPLINE_ is no setting of Stepline; correct or remove it",)


def test_variables_of_others_are_left_alone() -> None:
    assert load_settings({"STEP": "1", "_STEPLINE_SITE": "x", "stepline_retries": "9"}).retries == 1


def test_the_variable_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    path = toml_file(tmp_path, "retries = 5\nparcel_size = 6\n")
    settings = load_settings({"STEPLINE_RETRIES": "4"}, path)
    assert (settings.retries, settings.parcel_size, settings.max_steps) == (4, 6, 10_000)
    assert [settings.source(name) for name in ("retries", "parcel_size", "max_steps")] == [
        "environment",
        "stepline.toml",
        "default",
    ]


def test_the_file_in_the_working_folder_is_read_and_another_can_be_named(tmp_path: Path) -> None:
    toml_file(tmp_path, "retries = 5")
    (tmp_path / "other.toml").write_text("retries = 6", encoding="utf-8")
    assert load_settings({}).retries == 5
    assert load_settings({"STEPLINE_CONFIG": "other.toml"}).retries == 6
    assert load_settings({"STEPLINE_CONFIG": "other.toml"}, tmp_path / "stepline.toml").retries == 5


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"STEPLINE_RETRIES": "8", "XDG_STATE_HOME": "/state"})
    assert load_settings().retries == 8
    assert Settings().data_dir == Path("/state/stepline")


def test_a_named_file_that_is_not_there_is_told() -> None:
    (problem,) = problems_of({"STEPLINE_CONFIG": "gone.toml"})
    assert "gone.toml: can't be read: No such file" in problem
    assert "STEPLINE_CONFIG" in problem


@pytest.mark.parametrize("content", [b"retries = ", b"\xff"])
def test_a_file_that_is_no_toml_is_told_with_its_path(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "stepline.toml"
    path.write_bytes(content)
    (problem,) = problems_of({}, path)
    assert problem.startswith(f"settings file {path}: is no TOML in UTF-8: ")


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_STATE_HOME": "/var/state", "HOME": "/home/u"}, "/var/state/stepline"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/u"}, "/home/u/.local/state/stepline"),
        ({"HOME": "/home/u"}, "/home/u/.local/state/stepline"),
        ({}, str(Path.home() / ".local/state/stepline")),
    ],
)
def test_the_data_folder_is_where_programs_keep_their_state(environ: dict[str, str], folder: str) -> None:
    settings = load_settings(environ)
    assert str(settings.data_dir) == folder
    assert settings.source("data_dir") == "default"


def test_paths_are_made_whole_so_that_workers_in_other_folders_find_them(tmp_path: Path) -> None:
    settings = load_settings({"STEPLINE_DATA_DIR": "data", "STEPLINE_RULES_FILE": "~/rules.toml"})
    assert settings.data_dir == tmp_path / "data"
    assert settings.rules_file == Path.home() / "rules.toml"


def test_an_empty_variable_means_nothing_where_nothing_is_allowed() -> None:
    names = ("redis_url", "broker_url", "rules_file", "max_tasks_per_child", "step_modules")
    settings = load_settings({f"STEPLINE_{name.upper()}": "" for name in names})
    assert [getattr(settings, name) for name in names] == [None, None, None, None, ()]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://", "it names no host"),
        ("redis.example:6379", "the scheme is"),
        ("redis://host:port", "Port could not be cast"),
        ("unix://relative.sock", "an absolute path"),
    ],
)
def test_a_redis_url_that_can_be_none_is_refused_with_the_reason(url: str, reason: str) -> None:
    (problem,) = problems_of({"STEPLINE_REDIS_URL": url})
    assert reason in problem


@pytest.mark.parametrize("url", ["unix:///run/redis.sock?db=1", "rediss://user:pass@host:6380/0", "redis://[::1]"])
def test_a_redis_url_may_be_of_any_of_three_kinds(url: str) -> None:
    assert load_settings({"STEPLINE_REDIS_URL": url}).redis_url == url


@pytest.mark.parametrize("login", ["secret", ":secret", "name:", "name:p\u00e4ss", "name:se\tcret"])
def test_a_login_of_flower_that_can_be_none_is_refused_and_not_shown(login: str) -> None:
    (problem,) = problems_of({"STEPLINE_FLOWER_BASIC_AUTH": login})
    assert problem == (
        "STEPLINE_FLOWER_BASIC_AUTH: what it holds is not allowed; "
        "allowed is NAME:PASSWORD in printable ASCII, or nothing"
    )
    assert "secret" not in repr(load_settings({"STEPLINE_FLOWER_BASIC_AUTH": "name:secret"}))


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
    ],
)
def test_only_what_this_machine_alone_reaches_is_loopback(address: str, is_loopback: bool) -> None:
    assert setting_checks.is_loopback(load_settings({"STEPLINE_FLOWER_ADDRESS": address}).flower_address) is is_loopback


def test_no_password_is_shown_in_errors_or_in_the_settings_printed() -> None:
    (problem,) = problems_of({"STEPLINE_BROKER_URL": "amqp://me:sec@ret@host:x"})
    assert "ret" not in problem
    settings = load_settings({"STEPLINE_REDIS_URL": "redis://:secret@host", "STEPLINE_BROKER_URL": "amqp://:secret@h"})
    assert "secret" not in repr(settings)


def test_a_long_wrong_value_is_cut() -> None:
    (problem,) = problems_of({"STEPLINE_ORDER": "x" * 10_000})
    assert len(problem) < 300


def queues_with(**changes: object) -> dict[str, str]:
    return {"STEPLINE_QUEUES": json.dumps([{**QUEUES[0], **changes}, QUEUES[1]])}


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (queues_with(pool="threads"), "the pool of 'critical' is 'threads'; allowed is 'prefork'"),
        (queues_with(pool="gevent"), "0.pool: Input should be 'prefork' or 'threads'"),
        (queues_with(concurrency=0), "0.concurrency: "),
        (queues_with(routes=["(a"]), "0.routes.0: '(a' is no RE2 pattern: missing )"),
        (queues_with(priority=3), "0.priority: "),
        (queues_with(name="parallel"), "the name 'parallel' is given twice"),
        ({"STEPLINE_CRITICAL_QUEUE": "x"}, "'x' is none of the queues; allowed is one of critical, parallel"),
        ({"STEPLINE_PARALLEL_QUEUE": "critical"}, "'critical' is the critical queue; allowed is another"),
        ({"STEPLINE_HEARTBEAT_S": "3"}, "3 is not allowed; allowed is at most 2.5, 1/2 of lease_s"),
        ({"STEPLINE_RESTART_DELAY_S": "6"}, "6 is not allowed; allowed is at most 5, restart_delay_cap_s"),
        ({"STEPLINE_RETRY_DELAY_S": "61"}, "allowed is at most 60, retry_cap_s"),
        ({"STEPLINE_MAX_VALUE_BYTES": "20000000"}, "max_run_bytes: a run holds its steps' values"),
        ({"STEPLINE_MAX_PARAMS_BYTES": "20000000"}, "max_run_bytes: a run holds its steps' params"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_variable(environ: dict[str, str], said: str) -> None:
    problems = problems_of(environ)
    assert any(said in problem for problem in problems)
    assert all(problem.startswith("STEPLINE_") for problem in problems)


def test_settings_made_in_code_are_checked_in_the_same_way() -> None:
    with pytest.raises(ValidationError, match="heartbeat_s: 4 is not allowed"):
        Settings(heartbeat_s=4)
    with pytest.raises(ValidationError, match="parcel_sizes"):
        Settings(parcel_sizes=4)  # type: ignore[call-arg]


def test_settings_are_frozen_and_survive_pickling() -> None:
    settings = load_settings({"STEPLINE_RETRIES": "2"})
    with pytest.raises(ValidationError, match="frozen"):
        settings.retries = 3  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert {settings: 1}


def test_a_queue_is_found_by_name_and_by_route() -> None:
    settings = load_settings({"STEPLINE_QUEUES": json.dumps(QUEUES)})
    assert settings.queue("reports").pool == "prefork"
    routed = [settings.routed_queue(name) for name in ("MonthReportStep", "SlowStep", "TooSlowStep")]
    assert [queue and queue.name for queue in routed] == ["reports", "parallel", None]
    with pytest.raises(SettingsError, match=r"there is no queue 'report' \(nearest: reports\)"):
        settings.queue("report")


def test_the_source_of_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"there is no setting 'retry' \(nearest: retries\)"):
        Settings().source("retry")
