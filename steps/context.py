"""What a running step may know of its run and of its own attempt."""

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from copy import deepcopy
from time import monotonic
from types import MappingProxyType
from typing import Any, Final


class StepContext:
    """The ``ctx`` of a step; safe to read from any thread.

    Args:
        run_id: The run it belongs to.
        step_id: Its id in the run.
        context: The batch's context; each attempt that asks for it gets a copy of its own.
        results: Values of the steps that have succeeded, by id and as ``step_<i>_result``; not to be changed.
        strategy: ``basic`` or ``simple``: what follows a failed critical step.
        fence: The number of this claim. It grows with every claim: a store that keeps the highest it has seen
            can refuse whoever comes with a lower one.
        attempt: Which start this is, from 1.
        effect_key: The same for all attempts; ``run/step`` if left out.
        deadline: When the attempt's time is up, on the clock of ``time.monotonic``.
    """

    __slots__ = (
        "_cancelled",
        "_effect_key",
        "_own",
        "_shared",
        "attempt",
        "deadline",
        "fence",
        "results",
        "run_id",
        "step_id",
        "strategy",
    )

    def __init__(
        self,
        *,
        run_id: str,
        step_id: str,
        context: Mapping[str, Any],
        results: Mapping[str, Any],
        strategy: str = "basic",
        fence: int = 0,
        attempt: int = 1,
        effect_key: str | None = None,
        deadline: float | None = None,
    ) -> None:
        self.run_id = run_id
        self.step_id = step_id
        self._shared = context
        self._own: Mapping[str, Any] | None = None
        self.results = results
        self.strategy = strategy
        self.fence = fence
        self.attempt = attempt
        self.deadline = deadline
        self._effect_key = effect_key
        self._cancelled = False

    @property
    def context(self) -> Mapping[str, Any]:
        """The batch's context; what is changed inside of it, nobody else sees."""
        if self._own is None:
            self._own = MappingProxyType(deepcopy(dict(self._shared)))
        return self._own

    @property
    def shared_context(self) -> Mapping[str, Any]:
        """The same, not copied: not for the code of a step."""
        return self._shared

    @property
    def effect_key(self) -> str:
        """A key for side effects that is the same for all attempts of this step."""
        return f"{self.run_id}/{self.step_id}" if self._effect_key is None else self._effect_key

    @property
    def remaining_s(self) -> float:
        """Seconds until the attempt's time is up, never below 0; infinite where it has not begun."""
        return float("inf") if self.deadline is None else max(0.0, self.deadline - monotonic())

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for this attempt any longer: a step that looks should stop."""
        return self._cancelled

    def cancel(self) -> None:
        """Tell the step to stop; it can't be taken back."""
        self._cancelled = True


class StepResults(Mapping[str, Any]):
    """The values that have settled in a run, by id and by position; readable while others are being added."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def copy(self) -> "StepResults":
        """Return the same values, to which others can be added."""
        copied = StepResults()
        copied._values = dict(self._values)
        return copied

    def add(self, step_id: str, position: int, value: Any) -> None:
        """Take in the value of the step at that input position, from 0."""
        self._values[step_id] = value
        self._values.setdefault(f"step_{position}_result", value)

    def __getitem__(self, key: str) -> Any:
        """Return the value of an id or of ``step_<i>_result``."""
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys there are now."""
        return iter(list(self._values))

    def __len__(self) -> int:
        """Return how many keys there are now."""
        return len(self._values)


_running: Final[ContextVar[StepContext | None]] = ContextVar("stepline_running_step", default=None)


def running_step() -> StepContext | None:
    """Return the context of the step whose code is calling, or None outside of any step."""
    return _running.get()


def enter_step(context: StepContext) -> None:
    """Mark the rest of the current `contextvars` context as that step's code."""
    _running.set(context)
