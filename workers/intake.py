"""What a worker takes in: parcels in one form, which Celery gets bare; all else is set aside before Celery sees it.

Celery trusts a message's headers: a time limit in them kills a child, a time far away keeps the message, a value of the
wrong type ends the process. So a parcel is handed on with headers of our own, whatever came with it.
"""

import json
import logging
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

from celery import Celery, bootsteps

from config.broker_connection import REMOTE_CONTROL
from producer.publish import PARCEL_TASK, probe_of
from workers.dead_letters import DeadLetters
from workers.pidbox_node import node_type
from workers.received import Received
from workers.tasks import parcel_of

logger = logging.getLogger(__name__)

OnMessage: TypeAlias = Callable[[Any], object]

JSON_TYPE: Final = "application/json"

NAME_CHARS: Final = 100
"""How much of a name that is not known here is repeated."""

ID_CHARS: Final = 100
"""The longest id that a message keeps; Celery's are 36 long."""

UNREADABLE: Final = "its body cannot be read"


class NotUnderstood(ValueError):
    """A message that is no parcel.

    Args:
        reason: Why, in words that are the same for all of its kind.
        detail: What of it is wrong; printable.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def take_in_parcels(app: Celery, letters: DeadLetters, received: Received, *, queue: str) -> None:
    """Make the worker of ``app`` take parcels only, note probes, and set all else aside.

    It works on every broker; what is too broken for kombu is caught in the channel, which only Redis needs.

    Args:
        app: The worker's.
        letters: Where broken messages go.
        received: Where parcels and probes are noted.
        queue: The one that it serves; what a message says of that may be wrong.
    """

    def reject(consumer: Any, message: Any, error: NotUnderstood) -> None:
        """Set a message aside, then take it from what is to be acknowledged."""
        _keep(letters, queue, message, error)
        message.reject_log_error(logger, consumer.connection_errors)

    def note(consumer: Any, message: Any, parcel: tuple[str, int]) -> bool:
        """List a parcel; returns False for a probe, which is done with."""
        probe = probe_of(parcel[0])
        if probe is None:
            received.add(message, *parcel)
            return True
        message.ack_log_error(logger, consumer.connection_errors)
        received.come_out(probe)
        return False

    unreadable = NotUnderstood(UNREADABLE)

    class Intake(bootsteps.StartStopStep):
        """Stands before Celery's own handlers, anew after each reconnect."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def __init__(self, consumer: Any, **options: Any) -> None:
            super().__init__(consumer, **options)
            create = consumer.create_task_handler
            consumer.create_task_handler = partial(_handler, create, partial(reject, consumer), partial(note, consumer))
            consumer.on_decode_error = lambda message, _: _keep(letters, REMOTE_CONTROL, message, unreadable)

        def start(self, consumer: Any) -> None:
            received.forget_all()
            consumer.connection.on_broken = letters.take
            consumer.task_consumer.on_decode_error = lambda message, _: reject(consumer, message, unreadable)

    app.steps["consumer"].add(Intake)
    app.control.mailbox.node_cls = node_type(letters)


def bare(message: Any) -> tuple[str, int]:
    """Leave nothing in a message but the parcel that it is about; returns its run's id and its number.

    Raises:
        NotUnderstood: It is about none.
    """
    if (task := message.headers.get("task")) != PARCEL_TASK:
        raise NotUnderstood("its task is not known here, a newer version may have sent it", _shown(task))
    if message.content_type != JSON_TYPE:
        raise NotUnderstood("its content is no JSON", _shown(message.content_type))
    try:
        payload = message.decode()
    except Exception as error:  # kombu's, and those of whatever the body makes it do
        raise NotUnderstood(UNREADABLE) from error
    parcel = parcel_of(payload)
    if parcel is None:
        raise NotUnderstood("its arguments are not a run's id and the number of a parcel")
    found = message.headers.get("id")
    given = found if isinstance(found, str) and found.isprintable() and len(found) <= ID_CHARS else str(uuid.uuid4())
    message.headers = {"task": PARCEL_TASK, "id": given, "lang": "py", "ignore_result": True}
    message._decoded_cache = [list(parcel), {}, {}]
    message.body = json.dumps(message._decoded_cache).encode()
    message.content_encoding = "utf-8"
    return parcel


def _handler(
    create: Callable[[], OnMessage],
    reject: Callable[[Any, NotUnderstood], object],
    note: Callable[[Any, tuple[str, int]], bool],
) -> OnMessage:
    handle = create()

    def on_message(message: Any) -> None:
        try:
            parcel = bare(message)
        except NotUnderstood as error:
            reject(message, error)
        else:
            if note(message, parcel):
                handle(message)

    return on_message


def _keep(letters: DeadLetters, queue: str, message: Any, error: NotUnderstood) -> None:
    """Set a message aside as it came, but with its headers first: they say most, and only a part of it is kept."""
    frame = getattr(message, "_raw", None) or {"body": message.body}
    raw = json.dumps({"headers": message.headers, **frame}, default=repr)
    letters.take(queue, raw.encode(), error.reason, error.detail)


def _shown(value: Any) -> str:
    """Return a name in printable ASCII, or what there is in its place."""
    if value is None:
        return "there is none"
    return ascii(value[:NAME_CHARS]) if isinstance(value, str) else f"it is a {type(value).__name__}"
