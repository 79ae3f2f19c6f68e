"""A site: started whole or not at all, kept running, stopped whole, whatever its processes do."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import redis

from config.errors import SettingsError
from config.settings import Settings, load_settings
from producer.launcher import supervisor
from producer.launcher.child import Child, Command
from producer.launcher.embedded import EmbeddedRedis, find_site
from producer.launcher.sessions import is_alive
from producer.launcher.site_errors import SiteBusy, SiteError
from producer.launcher.supervisor import Site
from tests.support import stub_worker
from tests.support.processes import WAIT_S, clean_environment, family_of, wait_until

MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeSite]:
    """Return what makes a site whose workers are stubs; ``behaviours`` maps a worker's name to one."""
    made: list[Site] = []

    def make(*, behaviours: Mapping[str, str] | None = None, **arguments: object) -> Site:
        behaviours = behaviours or {}

        def command(
            queue: str, name: str, *, environment: Mapping[str, str], cwd: Path, log_dir: Path | None
        ) -> Command:
            program = [sys.executable, stub_worker.__file__, environment["STEPLINE_REDIS_URL"], queue, name]
            return Command(
                arguments=[*program, behaviours.get(name, "obeys")],
                environment=environment,
                cwd=cwd,
                log=tmp_path / f"{name}.log",
            )

        monkeypatch.setattr(supervisor, "worker_command", command)
        settings = arguments.pop("settings", None) or _settings(tmp_path)
        defaults = {"live_workers": stub_worker.live_workers, "env": clean_environment(), "cwd": tmp_path}
        made.append(Site(settings, **{**defaults, **arguments}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for site in made:
        site.stop()


def test_a_site_is_up_when_every_worker_is_live(make_site: MakeSite) -> None:
    with make_site(scale={"parallel": 3}) as site:
        assert stub_worker.live_workers(site.url) == {"critical": 1, "parallel": 3}
        names = [worker.name for worker in site.workers]
    assert names == ["worker critical-1", "worker parallel-1", "worker parallel-2", "worker parallel-3"]


def test_nothing_is_left_after_a_stop(make_site: MakeSite, tmp_path: Path) -> None:
    with make_site() as site:
        processes = _processes_of(site)
        assert len(processes) == 7
    assert not [pid for pid in processes if is_alive(pid)]
    assert find_site(_settings(tmp_path)) is None


def test_a_worker_that_dies_is_started_again(make_site: MakeSite) -> None:
    ended: list[tuple[str, int]] = []
    told = threading.Event()

    def note(child: Child, code: int) -> None:
        ended.append((child.name, code))
        told.set()

    with make_site(on_exit=note) as site:
        first = site.workers[0].pid
        assert first is not None
        processes = _processes_of(site)
        os.kill(first, signal.SIGKILL)
        assert told.wait(WAIT_S)
        wait_until(lambda: site.workers[0].pid not in {None, first})
        processes += _processes_of(site)
    assert ended == [("worker critical-1", -signal.SIGKILL)]
    assert not [pid for pid in processes if is_alive(pid)]


def test_workers_that_do_not_obey_are_killed_after_the_grace(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(settings=_settings(tmp_path, STEPLINE_SHUTDOWN_S="0.3"), behaviours={"parallel-1": "deaf"}).start()
    processes = _processes_of(site)
    started = time.monotonic()
    site.stop()
    assert 0.3 < time.monotonic() - started < 5
    assert not [pid for pid in processes if is_alive(pid)]


def test_a_worker_that_cannot_start_ends_all_of_it_and_its_log_is_quoted(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(behaviours={"parallel-1": "fails"})
    with pytest.raises(SiteError, match=r"worker parallel-1 ended with code 2 (.|\n)*the stub cannot start"):
        site.start()
    assert not [worker for worker in site.workers if worker.is_tended]
    assert find_site(_settings(tmp_path)) is None


def test_workers_that_never_report_are_given_up(make_site: MakeSite) -> None:
    with pytest.raises(SiteError, match=r"No live worker on critical, parallel within 0.3 s"):
        make_site(live_workers=lambda url: {}).start(timeout_s=0.3)


def test_leftovers_of_a_killed_site_do_not_count_as_live(make_site: MakeSite, tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    with EmbeddedRedis(settings.data_dir) as server, redis.Redis.from_url(server.url) as client:
        client.hset(stub_worker.LIVE, "of-the-dead", "parallel")
    with make_site() as site:
        assert stub_worker.live_workers(site.url) == {"critical": 1, "parallel": 2}


def test_leftovers_stop_counting_when_their_lease_has_lapsed(make_site: MakeSite, tmp_path: Path) -> None:
    looks = iter([{"parallel": 1}, {"parallel": 1}, {"parallel": 0}])

    def live_workers(url: str) -> Mapping[str, int]:
        return next(looks, None) or stub_worker.live_workers(url)

    with make_site(live_workers=live_workers) as site:
        assert stub_worker.live_workers(site.url) == {"critical": 1, "parallel": 1}


def test_a_site_uses_the_redis_that_is_named(make_site: MakeSite, tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "other") as server:
        settings = _settings(tmp_path, STEPLINE_REDIS_URL=server.url)
        with make_site(settings=settings) as site:
            assert site.redis is None
            assert site.url == server.url
        assert redis.Redis.from_url(server.url).ping()


def test_a_second_site_in_the_same_folder_is_refused_and_the_first_lives(make_site: MakeSite) -> None:
    with make_site() as site:
        with pytest.raises(SiteBusy):
            make_site().start()
        assert stub_worker.live_workers(site.url) == {"critical": 1, "parallel": 1}


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ({"paralel": 2}, "'paralel'; the queues are critical, parallel"),
        ({"parallel": -1}, "-1 workers on parallel; 0 to 256 are allowed"),
        ({"parallel": 257}, "257 workers on parallel"),
    ],
)
def test_a_wrong_scale_is_refused_before_anything_starts(
    make_site: MakeSite, tmp_path: Path, scale: dict[str, int], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        make_site(scale=scale)
    assert not (tmp_path / "data").exists()


def test_a_queue_can_be_left_without_workers(make_site: MakeSite) -> None:
    with make_site(scale={"critical": 0}) as site:
        assert stub_worker.live_workers(site.url) == {"parallel": 1}


def _settings(folder: Path, **variables: str) -> Settings:
    return load_settings({"STEPLINE_DATA_DIR": str(folder / "data"), **variables})


def _processes_of(site: Site) -> list[int]:
    workers = [member for worker in site.workers if worker.pid for member in family_of(worker.pid)]
    return [*workers, site.redis.pid] if site.redis and site.redis.pid else workers
