"""Makes attempts of plain functions, for tests of what runs and judges them."""

from collections.abc import Callable, Mapping
from typing import Any

from steps.attempt import Attempt, prepare
from steps.backoff import Backoff
from steps.call import StepCall
from steps.context import StepContext
from steps.decorator import define
from steps.options import StepOptions

WAIT_S = 20.0
"""How long a test waits for what must happen, in seconds, before it fails."""


def attempt_of(
    target: Callable[..., Any],
    *,
    params: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    timeout_s: float = WAIT_S,
    limit_s: float | None = None,
    retries: int = 0,
    failures: int = 0,
    **options: Any,
) -> Attempt:
    """Return an attempt of a function, class or ``async def``; ``limit_s`` is what is left of its run."""
    definition = define(target, StepOptions(name=getattr(target, "__name__", "").strip("<>") or "step", **options))
    call = StepCall("one", definition.name, dict(params or {}), timeout_s, retries, Backoff("fixed", 2.0))
    step_context = StepContext(run_id="run", step_id=call.id, context=context or {}, results={}, attempt=failures + 1)
    attempt = prepare(definition, call, context=step_context, failures=failures, timeout_s=limit_s)
    assert isinstance(attempt, Attempt), attempt
    return attempt
