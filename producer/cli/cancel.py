"""``stepline cancel``: what has not started never starts, what runs is stopped where it can be."""

import argparse

from producer.cli.steering import steer
from producer.producer import Producer


def execute(options: argparse.Namespace) -> int:
    """Cancel a run, or one step of it, and print how the run stands then; what has settled stays as it is.

    Raises:
        RunUnknown: There is no such run.
        InvalidBatch: It has no such step.
    """

    def cancel(producer: Producer) -> None:
        if options.step is None:
            producer.cancel(options.run_id)
        else:
            producer.attach(options.run_id).cancel_step(options.step)

    return steer(options, cancel)
