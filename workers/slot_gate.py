"""Lets a threads worker fetch a parcel only while it has a free place: none waits here while another worker idles."""

import os
from collections.abc import Callable
from typing import Any

from celery import Celery, bootsteps

from workers.slots import Slots


def gate_by_slots(app: Celery, slots: Slots) -> None:
    """Make the consumers of ``app`` fetch messages only while ``slots`` has a free place.

    Celery counts parcels, a worker's concurrency counts steps. The check stands where Celery's own limit on fetching
    does, in the channel's ``can_consume``; brokers other than Redis keep to their prefetch count.
    """

    class SlotGate(bootsteps.StartStopStep):
        """Installed once the consumer's channel is there, anew after each reconnect."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            if consumer.connection.transport.driver_type != "redis":
                return
            quality = consumer.task_consumer.channel.qos
            quality.can_consume = _both(slots.has_room, quality.can_consume)
            if consumer.hub is not None:
                wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                consumer.hub.add_reader(wake, os.eventfd_read, wake)
                slots.on_room(lambda: os.eventfd_write(wake, 1))

    app.steps["consumer"].add(SlotGate)


def _both(first: Callable[[], bool], second: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: first() and second()
