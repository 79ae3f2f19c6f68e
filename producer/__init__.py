"""The way in and out: batches become runs, runs become results; with a broker, or in this process."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import config

if not hasattr(config, "refuse_foreign"):
    raise ImportError(f"{config!r} shadows Stepline's {Path(__file__).parents[1] / 'config'}: rename it")

if TYPE_CHECKING:
    from producer.events import Event
    from producer.inline.engines import ParallelExecutionEngine, SequentialExecutionEngine, execute_steps
    from producer.producer import Producer
    from producer.queue_view import SiteQueues
    from producer.result import Result
    from producer.run import Run
    from producer.run_status import RunStatus
    from producer.site_statistics import Statistics

__all__ = [
    "Event",
    "ParallelExecutionEngine",
    "Producer",
    "Result",
    "Run",
    "RunStatus",
    "SequentialExecutionEngine",
    "SiteQueues",
    "Statistics",
    "execute_steps",
]

# Each name is imported when it is first asked for: a worker needs the publishing alone, `stepline explain` no broker.
_HOMES: Final = {
    "Event": "producer.events",
    "RunStatus": "producer.run_status",
    "SiteQueues": "producer.queue_view",
    "Statistics": "producer.site_statistics",
    "ParallelExecutionEngine": "producer.inline.engines",
    "Producer": "producer.producer",
    "Result": "producer.result",
    "Run": "producer.run",
    "SequentialExecutionEngine": "producer.inline.engines",
    "execute_steps": "producer.inline.engines",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'producer' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
