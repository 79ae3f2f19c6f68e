"""The messages of a site that no worker understood."""

from contextlib import closing

from config.settings import Settings
from producer.doctor.site_checks import NO_SITE_ADVICE
from producer.launcher.embedded import find_site
from steps.errors import BrokerUnavailable
from steps.ledger import Ledger
from steps.ledger.dead_letter import DeadLetter


def dead_letters(settings: Settings) -> tuple[DeadLetter, ...]:
    """Return the messages that the site's workers have set aside, the newest first.

    Raises:
        BrokerUnavailable: No Redis is named and no site is up, or it does not answer.
    """
    url = settings.redis_url or find_site(settings)
    if url is None:
        raise BrokerUnavailable(f"no site is up in {settings.data_dir.absolute()}: {NO_SITE_ADVICE}")
    with closing(Ledger(settings, url=url)) as ledger:
        return ledger.site.dead_letters()
