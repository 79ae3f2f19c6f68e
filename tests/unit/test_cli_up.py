"""``stepline up`` over a site that pretends: it says what is up, what died, and always stops all of it."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from producer.cli import main, up
from producer.cli.output import say
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
    monkeypatch.setattr(up, "_report_ends", lambda ended: signal.raise_signal(signum))
    assert main(["up", "--scale", "parallel=2"]) == 0
    err = capsys.readouterr().err
    assert "workers critical-1, parallel-1. Ctrl-C stops all of it." in err
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

    def interrupt(ended: object) -> None:
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
