"""``stepline resume``: a paused run goes on."""

import argparse

from producer.cli.steering import steer


def execute(options: argparse.Namespace) -> int:
    """Resume a run and print how it stands then; one that is completed stays as it is.

    Raises:
        RunUnknown: There is no such run.
    """
    return steer(options, lambda producer: producer.attach(options.run_id).resume())
