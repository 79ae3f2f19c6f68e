"""Switches a worker's events on while somebody asks for them: until then there is no event, no beat, no connection."""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from celery import Celery, bootsteps
from celery.utils.sysinfo import load_average
from celery.worker.control import control_command
from celery.worker.state import SOFTWARE_INFO

from workers.step_events import MakeEvents

logger = logging.getLogger(__name__)

KEPT_ON_S: Final = 60.0
"""Events end so long after they were last asked for; Flower asks every few seconds as long as it runs."""

BEAT_S: Final = 2.0
"""Between two heartbeats for listeners, as Celery has it; the site's own are the keeper's."""

_CONTROL: Final = ("celery.worker.consumer.control:Control",)


class EventSwitch:
    """The on and off of a worker's events, its heartbeat for listeners, and an outlet on the consumer's thread.

    Args:
        flag: One byte that the worker's `StepEvents`, also those of its children, look at.
        count_running: How many steps run now.

    All but `put` happens on the consumer's thread. Celery's own dispatcher stays away: it would be connected, and
    beat, all the time.
    """

    def __init__(self, flag: memoryview, *, count_running: Callable[[], int]) -> None:
        self._flag = flag
        self._count_running = count_running
        self._consumer: Any = None
        self._dispatcher: Any = None
        self._timer: Any = None
        self._asked_at = 0.0

    def install(self, app: Celery) -> None:
        """Take over the control commands that listeners send, for this process's only worker."""
        switch = self

        class Listeners(bootsteps.StartStopStep):
            """Follows the consumer through its reconnects."""

            requires = _CONTROL

            def start(self, consumer: Any) -> None:
                switch.attach(consumer)

            def stop(self, consumer: Any) -> None:
                switch.turn_off()

        app.steps["consumer"].add(Listeners)
        control_command(name="enable_events")(lambda state: self.enable())
        control_command(name="disable_events")(lambda state: self.disable())
        control_command(name="heartbeat")(lambda state: self._beat())

    def attach(self, consumer: Any) -> None:
        """Serve this consumer from now on."""
        self._consumer = consumer

    def enable(self) -> dict[str, str]:
        """Send events from now on, or go on sending them."""
        self._asked_at = time.monotonic()
        if self._flag[0]:
            return {"ok": "task events already enabled"}
        try:
            self._turn_on()
        except Exception as error:  # noqa: BLE001 - without listeners a worker works as well
            logger.warning("events cannot be sent: %s: %s", type(error).__name__, error)
            self.turn_off()
            return {"error": "no connection for events"}
        return {"ok": "task events enabled"}

    def disable(self) -> dict[str, str]:
        """Send no more events."""
        if not self._flag[0]:
            return {"ok": "task events already disabled"}
        self.turn_off()
        return {"ok": "task events disabled"}

    def put(self, make: MakeEvents) -> None:
        """Make and send events on the consumer's thread; for what happens rarely."""
        hub = self._consumer and self._consumer.hub
        if hub is not None:
            hub.call_soon(self._send_made, make)

    def turn_off(self) -> None:
        """Send nothing, and let go of the connection."""
        self._flag[0] = 0
        timer, self._timer = self._timer, None
        dispatcher, self._dispatcher = self._dispatcher, None
        if timer is not None:
            timer.cancel()
        if dispatcher is not None:
            _close(dispatcher)

    def _turn_on(self) -> None:
        app = self._consumer.app
        connection = app.connection_for_write()
        self._dispatcher = app.events.Dispatcher(
            connection, hostname=self._consumer.hostname, enabled=False, buffer_while_offline=False
        )
        connection.ensure_connection(max_retries=1, interval_start=0)
        self._dispatcher.enable()
        self._send("worker-online")
        self._timer = self._consumer.timer.call_repeatedly(BEAT_S, self._beat)
        self._flag[0] = 1

    def _beat(self) -> None:
        if self._dispatcher is None:
            return
        if time.monotonic() - self._asked_at > KEPT_ON_S:
            logger.info("nobody asks for events any more")
            self.turn_off()
            return
        try:
            self._send("worker-heartbeat")
        except Exception as error:  # noqa: BLE001 - listeners ask again when the broker is back
            self._give_up(error)

    def _send(self, kind: str) -> None:
        self._dispatcher.send(kind, freq=BEAT_S, active=self._count_running(), loadavg=load_average(), **SOFTWARE_INFO)

    def _send_made(self, make: MakeEvents) -> None:
        try:
            for event in make() if self._dispatcher is not None else ():
                self._dispatcher.send(event.type, **event.fields)
        except Exception as error:  # noqa: BLE001 - as above
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        logger.warning("events end until they are asked for again: %s: %s", type(error).__name__, error)
        self.turn_off()


def _close(dispatcher: Any) -> None:
    try:
        dispatcher.close()
        dispatcher.connection.close()
    except Exception:
        logger.debug("closing the connection of the events", exc_info=True)
