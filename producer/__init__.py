"""The way in and out: batches become runs, runs become results; with a broker, or in this process."""

from pathlib import Path

import config

if not hasattr(config, "refuse_foreign"):
    raise ImportError(f"{config!r} shadows Stepline's {Path(__file__).parents[1] / 'config'}: rename it")

from producer.engines import ParallelExecutionEngine, SequentialExecutionEngine, execute_steps
from producer.producer import Producer
from producer.result import Result
from producer.run import Run

__all__ = [
    "ParallelExecutionEngine",
    "Producer",
    "Result",
    "Run",
    "SequentialExecutionEngine",
    "execute_steps",
]
