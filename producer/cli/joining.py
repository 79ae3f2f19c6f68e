"""Finding the site that a run goes to: the Redis of the settings, one that is up, or one of its own."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from config.settings import Settings
from producer.cli.interrupts import Interrupts
from producer.cli.live import live_workers_by
from producer.cli.output import say
from producer.launcher.embedded import find_site
from producer.launcher.guests import as_guest, without_guests
from producer.launcher.site_errors import SiteBusy
from producer.launcher.supervisor import Site

JOIN_TIMEOUT_S: Final = 15.0
"""How long to wait for a site that is just starting or stopping."""

JOIN_PAUSE_S: Final = 0.1
"""Between two looks at such a site."""

LOG_FOLDER: Final = "logs"
"""Where workers that a run started for itself write, in the data folder."""


@contextmanager
def joined_site(settings: Settings, interrupts: Interrupts, *, before_start: Callable[[], object]) -> Iterator[str]:
    """Yield the URL of a site's Redis; a site that had to be started is stopped after the block.

    Args:
        settings: Where a site may be.
        interrupts: Those of the command.
        before_start: Called before a site is started, to refuse what it could not run.

    Raises:
        SiteError: No site could be joined or started.
    """
    with ExitStack() as at_end:
        yield settings.redis_url or _join_or_start(settings, interrupts, at_end, before_start)


def _join_or_start(
    settings: Settings, interrupts: Interrupts, at_end: ExitStack, before_start: Callable[[], object]
) -> str:
    give_up_at = time.monotonic() + JOIN_TIMEOUT_S
    while True:
        if url := _join(settings, at_end):
            return url
        before_start()
        try:
            return _start(settings, interrupts, at_end)
        except SiteBusy:
            if time.monotonic() > give_up_at:
                raise
        time.sleep(JOIN_PAUSE_S)


def _join(settings: Settings, at_end: ExitStack) -> str | None:
    """Return the URL of the site that is up, having told it to stay; None where there is none."""
    if find_site(settings) is None:
        return None
    welcome = at_end.enter_context(as_guest(settings.data_dir))
    return find_site(settings) if welcome else None


def _start(settings: Settings, interrupts: Interrupts, at_end: ExitStack) -> str:
    say("no site is up, starting one for this run")
    log_dir = settings.data_dir / LOG_FOLDER
    site = Site(settings, live_workers=live_workers_by(settings), log_dir=log_dir).start()
    at_end.callback(_leave, site, settings, interrupts)
    return site.url


def _leave(site: Site, settings: Settings, interrupts: Interrupts) -> None:
    """Stop our own site once nobody else runs there; at once after an interrupt."""
    with ExitStack() as until_stopped:
        try:
            if interrupts.armed:
                until_stopped.enter_context(without_guests(settings.data_dir, on_wait=_say_waiting))
        finally:
            interrupts.disarm()
            site.stop()


def _say_waiting() -> None:
    say("another stepline run uses this site; waiting for it (Ctrl-C stops the site)")
