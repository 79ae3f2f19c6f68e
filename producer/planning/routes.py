"""Chooses the queue of a step: the one it asks for, else one that takes its name, else that of its class."""

from config.errors import SettingsError
from config.settings import Settings


class QueueRefused(Exception):
    """The queue a step asks for can't take it; the text says why and what to do."""


class Routes:
    """The queues of a site as a plan needs them; remembers what it found for each name.

    Args:
        settings: That list the queues and their routes.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._has_routes = any(queue.routes for queue in settings.queues)
        self._found: dict[tuple[str, bool], str] = {}

    def queue_for(self, name: str, wanted: str | None, *, critical: bool) -> str:
        """Return the name of the queue.

        Args:
            name: Of the step.
            wanted: The queue the step itself asks for.
            critical: Whether it needs a pool whose processes can be killed.

        Raises:
            QueueRefused: There is no queue of the wanted name, or its pool can't run critical steps.
        """
        if wanted is not None:
            return self._wanted(wanted, critical=critical)
        if (name, critical) not in self._found:
            self._found[name, critical] = self._routed(name, critical=critical)
        return self._found[name, critical]

    def _wanted(self, wanted: str, *, critical: bool) -> str:
        try:
            queue = self._settings.queue(wanted)
        except SettingsError as error:
            raise QueueRefused(f"asks for a queue that is not there: {error}") from None
        if critical and queue.pool != "prefork":
            raise QueueRefused(
                f"is critical and asks for queue {wanted!r}, whose threads can't be killed; "
                f"take one with a prefork pool"
            )
        return queue.name

    def _routed(self, name: str, *, critical: bool) -> str:
        settings = self._settings
        queue = settings.routed_queue(name) if self._has_routes else None
        # A route may catch reads and writes alike; the writes still need processes that can be killed.
        if queue is not None and (queue.pool == "prefork" or not critical):
            return queue.name
        return settings.critical_queue if critical else settings.parallel_queue
