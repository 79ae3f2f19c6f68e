"""How the site supervisor asks the ledger for its live workers."""

from collections import Counter
from collections.abc import Mapping
from contextlib import closing

from config.settings import Settings
from producer.launcher.supervisor import LiveWorkers
from steps.ledger import Ledger


def live_workers_by(settings: Settings) -> LiveWorkers:
    """Return what tells, for the URL of a ledger, how many live workers each queue has."""

    def live_workers(url: str) -> Mapping[str, int]:
        with closing(Ledger(settings, url=url)) as ledger:
            return Counter(card.queue for card in ledger.site.workers())

    return live_workers
