"""Where ``stepline run`` goes: the Redis that is named, a site that is up, or one of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings, load_settings
from producer.cli import joining
from producer.cli.interrupts import Interrupts
from producer.cli.joining import joined_site
from producer.launcher.guests import without_guests
from producer.launcher.site_errors import SiteBusy
from steps.errors import InvalidBatch, Problem


class PretendSite:
    """A site that notes what is done with it; it is busy the first ``busy`` times."""

    def __init__(self, notes: list[str], busy: int = 0) -> None:
        self.url = "unix:///own"
        self._notes = notes
        self._busy = busy

    def start(self) -> "PretendSite":
        if self._busy:
            self._busy -= 1
            self._notes.append("busy")
            raise SiteBusy("another one is starting")
        self._notes.append("started")
        return self

    def stop(self) -> None:
        self._notes.append("stopped")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"STEPLINE_DATA_DIR": str(tmp_path)})


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Install a pretended site and no site that is up; return what is done with the former."""
    noted: list[str] = []
    site = PretendSite(noted)
    monkeypatch.setattr(joining, "Site", lambda *_, **__: site)
    monkeypatch.setattr(joining, "find_site", lambda settings: None)
    monkeypatch.setattr(joining, "JOIN_PAUSE_S", 0.0)
    return noted


def test_the_redis_that_is_named_is_used_and_nothing_started(notes: list[str]) -> None:
    settings = load_settings({"STEPLINE_REDIS_URL": "redis://named:6379/0"})
    with _joined(settings) as url:
        assert url == "redis://named:6379/0"
    assert not notes


def test_a_site_that_is_up_is_joined_as_a_guest(
    settings: Settings, notes: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(joining, "find_site", lambda settings: "unix:///up")
    with _joined(settings) as url:
        assert url == "unix:///up"
        assert not _has_no_guests(tmp_path)
    assert _has_no_guests(tmp_path)
    assert not notes


def test_without_a_site_one_is_started_and_stopped_afterwards(
    settings: Settings, notes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with _joined(settings) as url:
        assert url == "unix:///own"
        assert notes == ["started"]
    assert notes == ["started", "stopped"]
    assert "starting one for this run" in capsys.readouterr().err


def test_it_is_stopped_after_an_error_and_after_an_interrupt(settings: Settings, notes: list[str]) -> None:
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), _joined(settings):
            raise error
    assert notes == ["started", "stopped"] * 2


def test_what_would_be_refused_starts_no_site(settings: Settings, notes: list[str]) -> None:
    def refuse() -> None:
        raise InvalidBatch([Problem("steps[0]", "is wrong")])

    with (
        pytest.raises(InvalidBatch),
        Interrupts() as interrupts,
        joined_site(settings, interrupts, before_start=refuse),
    ):
        pass
    assert not notes


def test_a_site_that_is_just_starting_is_joined_when_it_is_up(
    settings: Settings, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "Site", lambda *_, **__: PretendSite(notes, busy=9))
    monkeypatch.setattr(joining, "find_site", lambda settings: "unix:///up" if len(notes) > 2 else None)
    with _joined(settings) as url:
        assert url == "unix:///up"
    assert notes == ["busy"] * 3


def test_a_site_that_stays_busy_is_given_up(
    settings: Settings, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "Site", lambda *_, **__: PretendSite(notes, busy=9))
    monkeypatch.setattr(joining, "JOIN_TIMEOUT_S", 0.0)
    with pytest.raises(SiteBusy), _joined(settings):
        pass


def test_a_site_that_is_stopping_is_not_joined(
    settings: Settings, notes: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = iter(["unix:///stopping"])
    monkeypatch.setattr(joining, "find_site", lambda settings: next(found, None))
    monkeypatch.setattr(joining, "as_guest", _unwelcome)
    with _joined(settings) as url:
        assert url == "unix:///own"


def test_the_host_waits_for_its_guests_unless_it_is_interrupted(
    settings: Settings, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[str] = []

    @contextmanager
    def noting(data_dir: Path, *, on_wait: Any) -> Iterator[None]:
        on_wait()
        waited.append("waited")
        yield

    monkeypatch.setattr(joining, "without_guests", noting)
    with _joined(settings):
        pass
    assert waited == ["waited"]
    with Interrupts() as interrupts, joined_site(settings, interrupts, before_start=lambda: None):
        interrupts.disarm()
    assert waited == ["waited"]
    assert notes == ["started", "stopped"] * 2


@contextmanager
def _joined(settings: Settings) -> Iterator[str]:
    with Interrupts() as interrupts, joined_site(settings, interrupts, before_start=lambda: None) as url:
        yield url


@contextmanager
def _unwelcome(data_dir: Path) -> Iterator[bool]:
    yield False


def _has_no_guests(data_dir: Path) -> bool:
    try:
        with without_guests(data_dir, on_wait=_do_not_wait):
            return True
    except InterruptedError:
        return False


def _do_not_wait() -> None:
    raise InterruptedError
