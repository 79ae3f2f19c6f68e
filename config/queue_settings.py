"""What the settings say of one queue: its pool, how much it runs at once, which steps are routed to it."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from config.limits import CONCURRENCY_RANGE
from config.patterns import compile_pattern

NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,49}$"
"""Names of queues and key prefixes: they become parts of Redis keys, process titles and log fields."""

PREFETCH_MAX: Final = 1_000
"""Parcels a worker may fetch ahead for each one that it runs."""


def _checked_pattern(text: str) -> str:
    compile_pattern(text, ignore_case=False)
    return text


class QueueSettings(BaseModel):
    """One queue and the worker that serves it.

    Attributes:
        name: As in the messages, in ``stepline up --scale`` and in the outcomes.
        pool: ``prefork`` (a child process each, which can be killed) or ``threads``.
        concurrency: Steps that one worker of the queue runs at once.
        prefetch: Parcels that a worker fetches ahead for each that it runs.
        routes: RE2 patterns; a step whose name one of them finds travels on this queue.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME_PATTERN)
    pool: Literal["prefork", "threads"]
    concurrency: int = Field(1, ge=CONCURRENCY_RANGE[0], le=CONCURRENCY_RANGE[1])
    prefetch: int = Field(1, ge=1, le=PREFETCH_MAX)
    routes: tuple[Annotated[str, AfterValidator(_checked_pattern)], ...] = ()

    def takes(self, step_name: str) -> bool:
        """Return whether one of the routes finds ``step_name``."""
        return any(compile_pattern(route, ignore_case=False).search(step_name) for route in self.routes)
