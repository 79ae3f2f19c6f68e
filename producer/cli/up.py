"""``stepline up``: keeps a site running until it is told to stop."""

import argparse
import os
from queue import SimpleQueue

from config.settings import Settings, load_settings
from producer.cli.interrupts import Interrupts
from producer.cli.live import live_workers_by
from producer.cli.output import say
from producer.launcher.child import Child
from producer.launcher.supervisor import Site

_Ended = tuple[Child, int]


def execute(options: argparse.Namespace) -> int:
    """Start the site and wait for Ctrl-C or SIGTERM; then end all of it."""
    settings = load_settings()
    ended: SimpleQueue[_Ended] = SimpleQueue()
    site = Site(
        settings,
        live_workers=live_workers_by(settings),
        scale=dict(options.scale),
        on_exit=lambda child, code: ended.put((child, code)),
    )
    with Interrupts() as interrupts:
        try:
            site.start()
            say(_up_message(site, settings))
            _report_ends(ended)
        except KeyboardInterrupt:
            say("stopping")
        finally:
            interrupts.disarm()
            site.stop()
    say("stopped")
    return 0


def _report_ends(ended: SimpleQueue[_Ended]) -> None:
    """Say what ended unasked, for ever: a signal's KeyboardInterrupt is the only way out."""
    while True:
        child, code = ended.get()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        say(f"{child.name} {how}; starting it again")


def _up_message(site: Site, settings: Settings) -> str:
    where = f"embedded Redis in {settings.data_dir}" if site.redis else "Redis of STEPLINE_REDIS_URL"
    workers = ", ".join(worker.name.removeprefix("worker ") for worker in site.workers)
    return f"up (pid {os.getpid()}): {where}; workers {workers}. Ctrl-C stops all of it."
