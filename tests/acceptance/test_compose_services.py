"""The services of docker-compose.yml, each run as it stands there, as processes instead of containers."""

import base64
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from config.settings import load_settings
from examples.view_switch.ten_sleeps import SLEEPS_MS
from producer import Producer
from steps.errors import GatherTimeout
from steps.registry import load_step_modules
from tests.support.compose_site import ComposeSite

SECRETS = {"REDIS_PASSWORD": "s3cret", "STEPLINE_FLOWER_BASIC_AUTH": "flower:s3cret"}
ORDER = ("redis", "critical", "parallel", "parallel", "flower")
"""As depends_on and --scale parallel=2 have it."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeSite]:
    """All services, healthy."""
    site = ComposeSite(tmp_path_factory.mktemp("compose"), SECRETS)
    try:
        for name in ORDER:
            site.start(name)
            site.wait_until_healthy(name)
        yield site
    finally:
        site.end()


@pytest.fixture
def producer(site: ComposeSite) -> Iterator[Producer]:
    """A backend with the settings of the workers."""
    settings = load_settings(site.environment("critical"))
    load_step_modules(settings.step_modules)
    with closing(Producer(settings=settings)) as producer:
        yield producer


def test_a_batch_runs_on_both_kinds_of_worker(site: ComposeSite, producer: Producer) -> None:
    writing = {"name": "GetSyntheticGitBranchStep", "critical": True, "id": "written"}
    result = producer.run([*SLEEPS_MS, writing], timeout=20)
    assert result.ok, result.as_dict()
    assert result["written"].queue == "critical"
    assert {outcome.queue for outcome in result.succeeded} == {"critical", "parallel"}


def test_redis_keeps_what_it_is_given_and_evicts_nothing(site: ComposeSite) -> None:
    settings = load_settings(site.environment("critical"))
    assert settings.redis_url is not None
    with closing(redis.Redis.from_url(settings.redis_url, decode_responses=True)) as client:
        told = client.config_get("append*", "maxmemory*", "save")
    assert (told["appendonly"], told["appendfsync"], told["maxmemory-policy"], told["save"]) == (
        *("yes", "everysec"),
        *("noeviction", ""),
    )
    assert int(told["maxmemory"]) == 512 * 1024 * 1024


def test_redis_lets_nobody_in_without_the_password(site: ComposeSite) -> None:
    settings = load_settings(site.environment("critical"))
    open_url = str(settings.redis_url).replace(":s3cret@", "")
    with closing(redis.Redis.from_url(open_url)) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_flower_shows_its_pages_to_those_with_the_password_only(site: ComposeSite) -> None:
    port = site.environment("flower")["STEPLINE_FLOWER_PORT"]
    request = urllib.request.Request(f"http://127.0.0.1:{port}/workers")
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(request, timeout=10)
    refused.value.close()
    login = base64.b64encode(SECRETS["STEPLINE_FLOWER_BASIC_AUTH"].encode()).decode()
    request.add_header("Authorization", f"Basic {login}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def test_a_worker_that_was_stopped_is_unhealthy_until_it_is_started_again(site: ComposeSite) -> None:
    codes, _ = site.stop("critical")
    assert codes == [0]
    assert "no live worker of critical" in site.wait_until_unhealthy("critical")
    assert site.check_health("parallel").returncode == 0
    site.start("critical")
    site.wait_until_healthy("critical")


def test_a_worker_that_hangs_is_unhealthy_once_the_others_miss_it(site: ComposeSite) -> None:
    site.stop("critical")
    hanging = site.start("critical")
    site.wait_until_healthy("critical")
    hanging.send_signal(signal.SIGSTOP)
    try:
        assert "no live worker of critical" in site.wait_until_unhealthy("critical")
    finally:
        hanging.send_signal(signal.SIGCONT)
    hanging.wait(20)  # the site took it for dead: it ends, for Compose to start it again
    site.stop("critical")
    site.start("critical")
    site.wait_until_healthy("critical")


@pytest.mark.parametrize("name", ["flower", "parallel", "critical"])
def test_each_service_ends_within_its_grace_and_comes_back(site: ComposeSite, name: str) -> None:
    codes, _ = site.stop(name)
    assert codes == [0] * len(codes)
    assert codes
    for _ in codes:
        site.start(name)
    site.wait_until_healthy(name)


def test_a_worker_that_is_stopped_lets_its_step_finish_and_leaves_the_rest(
    site: ComposeSite, producer: Producer
) -> None:
    run = producer.submit([{"name": "GetSyntheticChatHistoryStep", "critical": True} for _ in range(30)])
    next(iter(run.outcomes()))
    codes, _ = site.stop("critical")
    assert codes == [0]
    with pytest.raises(GatherTimeout):
        run.gather(timeout=0.1)
    site.start("critical")
    result = run.gather(timeout=30)
    assert result.ok, result.as_dict()
    assert [outcome.attempts for outcome in result.succeeded] == [1] * 30


def test_redis_ends_within_its_grace_and_comes_back_with_all_it_had(site: ComposeSite, producer: Producer) -> None:
    run_id = producer.run(["GetSyntheticGitStatusStep"], timeout=20).run_id
    codes, _ = site.stop("redis")
    assert codes == [0]
    assert site.check_health("redis").returncode != 0
    assert site.check_health("parallel").returncode == 3
    site.start("redis")
    for name in ORDER:
        site.wait_until_healthy(name)
    assert producer.attach(run_id).gather(timeout=20).ok


def test_nothing_is_written_beside_the_volume(site: ComposeSite) -> None:
    """The root of each container is read-only."""
    assert list(site.app.iterdir()) == []


def test_a_redis_without_a_password_is_healthy_too(tmp_path: Path) -> None:
    site = ComposeSite(tmp_path, {"STEPLINE_FLOWER_BASIC_AUTH": "flower:s3cret"})
    try:
        site.start("redis")
        site.wait_until_healthy("redis")
        assert site.check_health("critical").returncode == 1
        site.start("critical")
        site.wait_until_healthy("critical")
    finally:
        site.end()
