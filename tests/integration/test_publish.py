"""Publishing parcels to a real broker."""

import json
from collections.abc import Iterator
from typing import Any

import celery.app.base
import pytest
import redis
from celery import chord, group

from config.priorities import NORMAL, OF_HIGH_PRIORITY, URGENT
from producer import publish as publish_module
from producer.ledger_backend import LedgerBackend
from producer.publish import PARCEL_TASK, Publisher, make_site_app
from steps.ledger.records import Ready
from tests.support.ledgers import fast_settings
from tests.support.real_redis import RealSite


def ready(number: int, queue: str = "parallel", copies: int = 1) -> Ready:
    return Ready("r", number, queue, copies)


def waiting(real: RealSite, queue: str = "parallel") -> list[dict[str, Any]]:
    """Return the messages of a queue, oldest first."""
    return [json.loads(text) for text in reversed(real.client.lrange(real.queue_key(queue), 0, -1))]


def arguments_of(message: dict[str, Any]) -> str:
    return str(message["headers"]["argsrepr"])


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Tell by which of Celery's means parcels are sent."""
    used: list[str] = []

    def noting(name: str, make: Any) -> Any:
        def made(*arguments: Any, **options: Any) -> Any:
            used.append(name)
            return make(*arguments, **options)

        return made

    monkeypatch.setattr(publish_module, "group", noting("group", group))
    monkeypatch.setattr(publish_module, "chord", noting("chord", chord))
    return used


def test_one_parcel_is_one_message_with_nothing_but_ids(real: RealSite, ways: list[str]) -> None:
    assert real.publisher.publish([ready(3, "critical")])
    (message,) = waiting(real, "critical")
    assert message["headers"]["task"] == PARCEL_TASK
    assert arguments_of(message) == "('r', 3)"
    assert real.messages("parallel") == 0
    assert ways == []


def test_several_parcels_are_one_group(real: RealSite, ways: list[str]) -> None:
    assert real.publisher.publish([ready(0, "critical"), ready(1), ready(2, copies=2)])
    assert (real.messages("critical"), real.messages("parallel")) == (1, 3)
    assert sorted(map(arguments_of, waiting(real))) == ["('r', 1)", "('r', 2)", "('r', 2)"]
    assert ways == ["group"]


def test_a_run_with_a_body_is_a_chord_whose_body_the_ledger_sends(real: RealSite, ways: list[str]) -> None:
    assert isinstance(real.publisher._app.backend, LedgerBackend)
    assert real.publisher.publish([ready(0), ready(1, "critical")], body=("r", 2))
    assert ways == ["chord"]
    parts = [*waiting(real), *waiting(real, "critical")]
    assert sorted(map(arguments_of, parts)) == ["('r', 0)", "('r', 1)"]
    assert all(part["headers"]["task"] == PARCEL_TASK for part in parts)
    real.publisher._app.backend.on_chord_part_return(None, "FAILURE", None)
    assert (real.messages("parallel"), real.messages("critical")) == (1, 1)


def test_a_chord_of_one_part_is_one_message(real: RealSite) -> None:
    assert real.publisher.publish([ready(0)], body=("r", 1))
    assert [arguments_of(message) for message in waiting(real)] == ["('r', 0)"]


def test_nothing_to_publish_is_nothing_to_do(real: RealSite, ways: list[str]) -> None:
    assert real.publisher.publish([])
    assert real.publisher.publish([], body=("r", 1))
    assert ways == []
    assert real.client.keys("*") == []


def test_marks_are_taken_once(real: RealSite) -> None:
    real.publisher.publish([ready(0), ready(1, copies=3)])
    real.publisher.publish([ready(2)])
    assert real.publisher.take_marks() == (("r", 0), ("r", 1), ("r", 2))
    assert real.publisher.take_marks() == ()


def test_only_the_newest_marks_are_kept(real: RealSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_module, "MARKS_KEPT", 2)
    publisher = Publisher(make_site_app(real.settings, real.url))
    publisher.publish([ready(number) for number in range(4)])
    assert publisher.take_marks() == (("r", 2), ("r", 3))
    publisher.close()


def test_a_probe_stands_behind_all_messages_and_is_not_marked(real: RealSite) -> None:
    real.publisher.publish([ready(0), Ready("r", 1, "parallel", 1, priority=1 + OF_HIGH_PRIORITY)])
    real.publisher.send_probe("parallel", 17)
    real.publisher.publish([ready(2)])
    assert [arguments_of(message) for message in waiting(real)] == ["('r', 0)", "('probe.17', 0)", "('r', 2)"]
    assert real.messages("parallel") == 3  # The urgent one is in a list of its own, which is read first.
    assert real.publisher.depth("parallel") == 4
    assert real.publisher.take_marks() == (("r", 0), ("r", 1), ("r", 2))


def test_nothing_is_left_in_redis_but_messages_and_bindings(real: RealSite) -> None:
    real.publisher.publish([ready(0)], body=("r", 1))
    kinds = {key.decode().removeprefix("stepline:broker:").split(".")[0] for key in real.client.keys("*")}
    assert kinds == {"parallel\x06\x161", "_kombu"}


@pytest.mark.parametrize(("priority", "level"), [(1, NORMAL), (6, URGENT), (11, NORMAL), (16, URGENT)])
def test_an_urgent_run_has_its_messages_in_the_list_that_is_read_first(
    real: RealSite, priority: int, level: int
) -> None:
    real.publisher.publish([Ready("r", 0, "parallel", 1, priority)])
    lengths = {one: real.client.llen(real.queue_key("parallel", one)) for one in (URGENT, NORMAL)}
    assert lengths == {URGENT: 0, NORMAL: 0, level: 1}
    assert real.publisher.depth("parallel") == 1


def test_the_depth_of_a_queue_is_what_waits_in_it(real: RealSite) -> None:
    assert real.publisher.depth("parallel") == 0
    assert real.client.keys("*") == []
    real.publisher.publish([ready(0, copies=3)])
    assert (real.publisher.depth("parallel"), real.publisher.depth("critical")) == (3, 0)


@pytest.fixture
def unreachable(real: RealSite) -> Iterator[Publisher]:
    settings = fast_settings(broker_url="redis://127.0.0.1:1/0", publish_retries=1)
    publisher = Publisher(make_site_app(settings, real.url))
    yield publisher
    publisher.close()


@pytest.mark.parametrize("body", [None, ("r", 2)], ids=["group", "chord"])
def test_a_broker_that_is_down_is_said_and_nothing_is_marked(
    unreachable: Publisher, body: tuple[str, int] | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert not unreachable.publish([ready(0), ready(1)], body=body)
    assert unreachable.take_marks() == ()
    assert "2 parcels wait for a keeper" in caplog.text


def test_a_broker_that_is_down_takes_no_probe_and_that_is_said(
    unreachable: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    unreachable.send_probe("parallel", 17)
    assert "a probe of queue parallel was not sent" in caplog.text


def test_a_broker_that_is_down_does_not_say_how_deep_its_queues_are(unreachable: Publisher) -> None:
    assert unreachable.depth("parallel") is None


def test_a_broker_that_goes_away_meanwhile_does_not_say_it_either(
    real: RealSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object, **__: object) -> None:
        raise redis.ConnectionError("Connection closed by server.")

    with real.publisher._app.connection_for_read() as connection:
        monkeypatch.setattr(type(connection.default_channel), "queue_declare", break_off)
    assert real.publisher.depth("parallel") is None


def test_a_stray_variable_of_celerys_does_not_move_the_broker(real: RealSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    app = make_site_app(real.settings, real.url)
    assert isinstance(app, celery.app.base.Celery)
    publisher = Publisher(app)
    assert publisher.publish([ready(0)])
    publisher.close()
    assert real.messages("parallel") == 1
