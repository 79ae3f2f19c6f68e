"""The queues as kombu sees them: one direct queue for each of the settings, under its own name."""

from kombu import Exchange, Queue

from config.settings import Settings


def kombu_queues(settings: Settings) -> tuple[Queue, ...]:
    """Return the queues, in the order of the settings; exchange and routing key are its name too."""
    return tuple(
        Queue(queue.name, Exchange(queue.name, type="direct"), routing_key=queue.name) for queue in settings.queues
    )
