"""How Flower is started: where it listens, what it is told, and what it is kept from."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.errors import SettingsError
from config.settings import Settings, load_settings
from producer.cli import flower, main
from producer.launcher.flower_process import (
    LOG_NAME,
    PROGRAM,
    flower_command,
    flower_environment,
    flower_url,
    is_port_taken,
    refuse_exposed,
)


def settings_of(**variables: str) -> Settings:
    return load_settings({f"STEPLINE_FLOWER_{name.upper()}": text for name, text in variables.items()})


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.1", "dashboard.example.com"])
def test_where_others_reach_it_a_password_is_needed(address: str) -> None:
    with pytest.raises(SettingsError, match=r"STEPLINE_FLOWER_BASIC_AUTH to NAME:PASSWORD"):
        refuse_exposed(settings_of(address=address))
    refuse_exposed(settings_of(address=address, basic_auth="me:secret"))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
def test_on_loopback_no_password_is_needed(address: str) -> None:
    refuse_exposed(settings_of(address=address))


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:5555"),
        ("localhost", "http://localhost:5555"),
        ("::1", "http://[::1]:5555"),
        ("0.0.0.0", "http://127.0.0.1:5555"),
        ("::", "http://[::1]:5555"),
    ],
)
def test_its_url_is_one_for_a_browser_of_this_machine(address: str, url: str) -> None:
    assert flower_url(settings_of(address=address, basic_auth="me:secret")) == url


def test_a_port_is_taken_while_somebody_listens_there(taken_port: int) -> None:
    assert is_port_taken(settings_of(port=str(taken_port)))
    assert is_port_taken(settings_of(address="203.0.113.7"))  # no address of this machine


def test_a_port_is_free_when_nobody_listens_any_more() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    assert not is_port_taken(settings_of(port=str(port)))


def test_what_celery_and_flower_would_obey_is_kept_from_it() -> None:
    base = {"CELERY_BROKER_URL": "amqp://", "FLOWER_UNAUTHENTICATED_API": "1", "PATH": "/bin", "STEPLINE_A": "1"}
    environment = flower_environment(base, "redis://here")
    assert not [name for name in environment if name.startswith(("CELERY_", "FLOWER_"))]
    assert (environment["STEPLINE_REDIS_URL"], environment["PATH"]) == ("redis://here", "/bin")


def test_its_log_begins_anew_in_the_folder_for_logs(tmp_path: Path) -> None:
    (tmp_path / LOG_NAME).write_text("of the last time")
    command = flower_command(environment={}, cwd=tmp_path, log_dir=tmp_path)
    assert command.log == tmp_path / LOG_NAME
    assert not command.log.exists()
    assert flower_command(environment={}, cwd=tmp_path, log_dir=None).log is None


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[list[str], dict[str, str]]]:
    """Collect the programs that this process would have become."""
    programs: list[tuple[list[str], dict[str, str]]] = []

    def note(path: str, arguments: list[str], environment: dict[str, str]) -> Any:
        programs.append((arguments, environment))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", note)
    monkeypatch.setenv("STEPLINE_DATA_DIR", str(tmp_path))
    return programs


def test_the_command_becomes_flower_of_the_site_that_is_up(
    replaced: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flower, "url_of", lambda settings: "unix:///the/site")
    monkeypatch.setenv("STEPLINE_FLOWER_BASIC_AUTH", "me:secret")
    with pytest.raises(SystemExit):
        main(["flower"])
    ((arguments, environment),) = replaced
    assert arguments == [sys.executable, "-P", "-m", PROGRAM]
    assert environment["STEPLINE_REDIS_URL"] == "unix:///the/site"


def test_the_command_refuses_to_be_reached_without_a_password(
    replaced: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEPLINE_REDIS_URL", "redis://somewhere")
    monkeypatch.setenv("STEPLINE_FLOWER_ADDRESS", "0.0.0.0")
    assert main(["flower"]) == 2
    assert "needs a password" in capsys.readouterr().err
    assert not replaced


def test_the_command_without_a_site_says_how_to_start_one(
    replaced: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["flower"]) == 3
    assert "stepline up" in capsys.readouterr().err
