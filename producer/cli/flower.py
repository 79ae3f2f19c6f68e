"""``stepline flower``: becomes the dashboard of a site that is up."""

import argparse

from config.settings import load_settings
from producer.cli.worker import url_of
from producer.launcher.flower_process import become_flower


def execute(options: argparse.Namespace) -> int:
    """Replace this process by Flower."""
    settings = load_settings()
    become_flower(settings, url_of(settings))
    return 0
