"""The site of a command that never starts one: the Redis of the settings, or the site that is up."""

from collections.abc import Iterator
from contextlib import contextmanager

from config.settings import load_settings
from producer.producer import Producer


@contextmanager
def producer_of_site() -> Iterator[Producer]:
    """Yield a producer for the site of the settings.

    Raises:
        SettingsError: A setting is wrong.
        BrokerUnavailable: No Redis is named and no site is up.
    """
    with Producer(load_settings()) as producer:
        yield producer
