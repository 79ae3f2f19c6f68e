"""The steps of the Stepline peer; its workers import this module."""

from typing import Final

from bench.sleeping import sleep
from steps import step

PARALLEL_STEP: Final = "ReadNothingStep"
ORDERED_STEP: Final = "WriteNothingStep"

step(name=PARALLEL_STEP, critical=False)(sleep)
step(name=ORDERED_STEP, critical=True)(sleep)
