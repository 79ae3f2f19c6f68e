"""How the site supervisor asks the ledger for its live workers."""

from collections.abc import Mapping
from contextlib import closing

from config.settings import Settings
from producer.producer import Producer
from producer.supervisor import LiveWorkers


def live_workers_by(settings: Settings) -> LiveWorkers:
    """Return what tells, for the URL of a ledger, how many live workers each queue has."""

    def live_workers(url: str) -> Mapping[str, int]:
        with closing(Producer(settings=settings, redis_url=url)) as producer:
            return producer.live_workers()

    return live_workers
