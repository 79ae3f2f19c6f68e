"""``stepline up``: keeps a site running until it is told to stop."""

import argparse
import os
from queue import SimpleQueue

from config.settings import Settings, load_settings
from producer.cli.interrupts import Interrupts
from producer.cli.live import live_workers_by
from producer.cli.output import say
from producer.launcher.child import Child
from producer.launcher.flower_process import PORT_TAKEN_EXIT, flower_url, taken_text
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
        with_flower=not options.no_flower,
    )
    with Interrupts() as interrupts:
        try:
            site.start()
            if site.flower is None and not options.no_flower:
                say(f"up without Flower: {taken_text(settings)}, or leave it out with --no-flower")
            say(_up_message(site, settings))
            _report_ends(ended, settings)
        except KeyboardInterrupt:
            say("stopping")
        finally:
            interrupts.disarm()
            site.stop()
    say("stopped")
    return 0


def _report_ends(ended: SimpleQueue[_Ended], settings: Settings) -> None:
    """Say what ended unasked, for ever: a signal's KeyboardInterrupt is the only way out."""
    while True:
        child, code = ended.get()
        if child.name == "flower" and code == PORT_TAKEN_EXIT:
            say(f"going on without Flower: {taken_text(settings)}")
            continue
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        say(f"{child.name} {how}; starting it again")


def _up_message(site: Site, settings: Settings) -> str:
    where = f"embedded Redis in {settings.data_dir}" if site.redis else "Redis of STEPLINE_REDIS_URL"
    workers = ", ".join(worker.name.removeprefix("worker ") for worker in site.workers)
    flower = f"; Flower at {flower_url(settings)}{_flower_note(settings)}" if site.flower else ""
    return f"up (pid {os.getpid()}): {where}; workers {workers}{flower}. Ctrl-C stops all of it."


def _flower_note(settings: Settings) -> str:
    """Flower opens its buttons and its API only to who has a password."""
    return "" if settings.flower_basic_auth else " (to look at; with STEPLINE_FLOWER_BASIC_AUTH also to revoke)"
