"""SIGHUP reads the classification rules again, as it reloads the configuration of other daemons."""

import logging
import signal
from collections.abc import Callable
from types import FrameType

from config.errors import SettingsError

logger = logging.getLogger(__name__)


def reload_on_sighup(reload: Callable[[], None]) -> None:
    """Call ``reload`` at every SIGHUP, then whatever handled it before.

    Rules that are wrong are logged and change nothing: a running program must not die of a typing error.
    """
    before = signal.getsignal(signal.SIGHUP)

    def handle(signum: int, frame: FrameType | None) -> None:
        try:
            reload()
            logger.info("the classification rules were read again")
        except SettingsError as error:
            logger.error("the classification rules stay as they were: %s", error)
        if callable(before):
            before(signum, frame)

    signal.signal(signal.SIGHUP, handle)
