"""``stepline up`` over a site that pretends: it says what is up, what died, and always stops all of it."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from producer.cli import main, up
from producer.cli.output import say
from producer.launcher.flower_process import PORT_TAKEN_EXIT
from producer.launcher.site_errors import SiteError


class PretendChild:
    def __init__(self, name: str) -> None:
        self.name = name


class PretendSite:
    """A site that does at its start what a test wants to happen."""

    def __init__(self, at_start: Callable[["PretendSite"], None], **arguments: Any) -> None:
        self.redis = object()
        self.workers = [PretendChild("worker critical-1"), PretendChild("worker parallel-1")]
        self.stops = 0
        self.scale = arguments["scale"]
        self.flower = PretendChild("flower") if arguments["with_flower"] else None
        self.on_exit: Callable[[Any, int], None] = arguments["on_exit"]
        self._at_start = at_start

    def start(self) -> None:
        self._at_start(self)

    def stop(self) -> None:
        self.stops += 1


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return what installs a pretended site; it returns the list of the sites that were made."""
    monkeypatch.setenv("STEPLINE_DATA_DIR", str(tmp_path))

    def install(at_start: Callable[[PretendSite], None]) -> list[PretendSite]:
        made: list[PretendSite] = []

        def make(settings: object, **arguments: Any) -> PretendSite:
            made.append(PretendSite(at_start, **arguments))
            return made[-1]

        monkeypatch.setattr(up, "Site", make)
        return made

    return install


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_of_it_and_that_is_a_good_end(
    pretend: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], signum: signal.Signals
) -> None:
    made = pretend(lambda site: None)
    monkeypatch.setattr(up, "_report_ends", lambda *_: signal.raise_signal(signum))
    assert main(["up", "--scale", "parallel=2"]) == 0
    err = capsys.readouterr().err
    assert "workers critical-1, parallel-1; Flower at http://127.0.0.1:5555 (to look at" in err
    assert err.endswith("stepline: stopping\nstepline: stopped\n")
    assert (made[0].stops, made[0].scale) == (1, {"parallel": 2})


def test_a_signal_during_the_start_stops_what_was_started(pretend: Any) -> None:
    made = pretend(lambda site: signal.raise_signal(signal.SIGTERM))
    assert main(["up"]) == 0
    assert made[0].stops == 1


def test_a_site_that_cannot_start_is_reported(pretend: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(site: PretendSite) -> None:
        raise SiteError("The worker parallel-1 ended with code 2 before it was live.")

    made = pretend(fail)
    assert main(["up"]) == 3
    assert "ended with code 2" in capsys.readouterr().err
    assert made[0].stops == 1


def test_what_dies_is_reported(
    pretend: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def die(site: PretendSite) -> None:
        site.on_exit(site.workers[0], -9)
        site.on_exit(site.workers[1], 3)

    said: list[str] = []

    def interrupted_after_both(text: str) -> None:
        say(text)
        said.append(text)
        if "ended with code" in text:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(up, "say", interrupted_after_both)
    pretend(die)
    assert main(["up"]) == 0
    assert "worker critical-1 was ended by signal 9; starting it again" in said
    assert "worker parallel-1 ended with code 3; starting it again" in said


def test_the_redis_that_is_named_is_said_without_its_password(
    pretend: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEPLINE_REDIS_URL", "redis://:secret@host:6379/0")

    def has_no_redis(site: PretendSite) -> None:
        site.redis = None

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(up, "_report_ends", interrupt)
    pretend(has_no_redis)
    assert main(["up"]) == 0
    err = capsys.readouterr().err
    assert "Redis of STEPLINE_REDIS_URL" in err
    assert "secret" not in err


def test_a_queue_that_does_not_exist_cannot_be_scaled(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--scale", "paralel=2"]) == 2
    assert "the queues are critical, parallel" in capsys.readouterr().err


def test_flower_is_named_with_its_place_and_never_its_password(
    pretend: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEPLINE_FLOWER_BASIC_AUTH", "me:secret")
    monkeypatch.setenv("STEPLINE_FLOWER_PORT", "5600")
    monkeypatch.setattr(up, "_report_ends", lambda *_: signal.raise_signal(signal.SIGINT))
    pretend(lambda site: None)
    assert main(["up"]) == 0
    err = capsys.readouterr().err
    assert "; Flower at http://127.0.0.1:5600. Ctrl-C stops all of it." in err
    assert "secret" not in err


def test_flower_can_be_left_out(
    pretend: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(up, "_report_ends", lambda *_: signal.raise_signal(signal.SIGINT))
    pretend(lambda site: None)
    assert main(["up", "--no-flower"]) == 0
    assert "Flower" not in capsys.readouterr().err


def test_a_port_that_is_taken_is_said_and_the_site_is_up_without_flower(
    pretend: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def go_without(site: PretendSite) -> None:
        site.flower = None

    monkeypatch.setattr(up, "_report_ends", lambda *_: signal.raise_signal(signal.SIGINT))
    pretend(go_without)
    assert main(["up"]) == 0
    err = capsys.readouterr().err
    assert "up without Flower: port 5555 of 127.0.0.1 cannot be listened on" in err
    assert "STEPLINE_FLOWER_PORT" in err
    assert "workers critical-1, parallel-1. Ctrl-C stops all of it." in err


def test_a_flower_that_finds_its_port_taken_later_is_not_said_to_start_again(
    pretend: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(site: PretendSite) -> None:
        site.on_exit(site.flower, PORT_TAKEN_EXIT)
        site.on_exit(site.workers[0], 3)

    def interrupted_at_last(text: str) -> None:
        say(text)
        if "critical-1 ended" in text:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(up, "say", interrupted_at_last)
    pretend(end)
    assert main(["up"]) == 0
    err = capsys.readouterr().err
    assert "going on without Flower: port 5555" in err
    assert "flower ended" not in err


def test_a_flower_that_others_reach_needs_a_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEPLINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("STEPLINE_FLOWER_ADDRESS", "0.0.0.0")
    assert main(["up"]) == 2
    assert "STEPLINE_FLOWER_BASIC_AUTH" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
