"""``@step``: makes a function, an ``async def`` or a class with ``execute`` a registered step."""

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from config.choices import BackoffKind
from steps.backoff import Backoff
from steps.definition import StepDefinition
from steps.errors import InvalidStep
from steps.options import Exceptions, Isolation, StepOptions, as_tuple
from steps.registry import register
from steps.signature import StepSignature

Target = TypeVar("Target", bound=Callable[..., Any])


@overload
def step(target: Target, /) -> Target: ...


@overload
def step(
    *,
    name: str | None = None,
    critical: bool | None = None,
    lane: str | None = None,
    queue: str | None = None,
    timeout: float | None = None,
    retries: int | None = None,
    backoff: BackoffKind | Backoff | None = None,
    delay: float | None = None,
    cap: float | None = None,
    jitter: bool | None = None,
    idempotent: bool = False,
    isolation: Isolation | None = None,
    max_running: int | None = None,
    rate: str | None = None,
    retry_on: Exceptions | None = None,
    give_up_on: Exceptions | None = None,
) -> Callable[[Target], Target]: ...


def step(target: Any = None, /, **options: Any) -> Any:
    """Register a step and return it unchanged; use it as ``@step`` or as ``@step(timeout=5, ...)``.

    A parameter called ``ctx`` receives the `StepContext`. What is left out is decided by the call, else by
    the settings.

    Args:
        target: The function, ``async def``, or class with ``execute``.
        **options: ``name`` (default: the target's); ``critical`` (True: it changes things and runs alone in
            its lane; False: it only reads; None: the rules decide); ``lane`` (the key of its lane, such as
            ``session:{session_id}``, filled from params and context); ``queue``; ``timeout`` (of one attempt,
            in seconds); ``retries`` (attempts after the first); ``backoff`` (a `Backoff`, or its kind with
            ``delay`` and ``cap``, in seconds, and ``jitter``); ``idempotent`` (running it twice does no more
            than running it once; only then is a critical step retried by default); ``isolation`` (``process``: each
            attempt runs in a process of its own); ``max_running`` (attempts of it at once over the whole site, to
            protect what it uses); ``rate`` (its starts over the whole site, as ``10/s``, ``100/m`` or ``1000/h``);
            ``retry_on`` and ``give_up_on`` (classes of exceptions after which it is, or is not, tried again; a
            time-out is only where ``retry_on`` has `StepTimeout`).

    Raises:
        InvalidStep: The target can't be a step, or an option is not what it may be.
        DuplicateStep: Another step has the name already.
    """
    chosen = StepOptions(**options)
    scope = sys._getframe(1).f_locals

    def decorate(target: Target) -> Target:
        register(define(target, chosen, scope=scope))
        return target

    return decorate if target is None else decorate(target)


def define(
    target: Callable[..., Any],
    options: StepOptions | None = None,
    *,
    scope: Mapping[str, object] | None = None,
) -> StepDefinition:
    """Return the definition that `step` registers, unregistered.

    Args:
        target: The function, ``async def``, or class with ``execute``.
        options: What ``@step`` was given.
        scope: Names visible where the target was defined, for annotations that are still text.

    Raises:
        InvalidStep: The target can't be a step, or an option is not what it may be.
    """
    options = options or StepOptions()
    function = _function_of(target)
    name = target.__name__ if options.name is None else options.name
    where = f"step {name!r} ({_place(target)})"
    if problems := options.problems():
        raise InvalidStep(f"{where}: {'; '.join(problems)}")
    if name == "<lambda>":
        raise InvalidStep(f"{_place(target)} is a lambda and needs a name=")
    return StepDefinition(
        name=name,
        target=target,
        signature=StepSignature(function, _signature_of(target, function), name=name, scope=scope),
        is_coroutine=inspect.iscoroutinefunction(function),
        critical=options.critical,
        lane=options.lane,
        queue=options.queue,
        timeout_s=None if options.timeout is None else float(options.timeout),
        retries=options.retries,
        backoff=options.chosen_backoff(),
        idempotent=options.idempotent,
        isolation=options.isolation,
        max_running=options.max_running,
        rate=options.rate,
        retry_on=as_tuple(options.retry_on),
        give_up_on=as_tuple(options.give_up_on),
    )


def _place(target: Callable[..., Any]) -> str:
    return f"{getattr(target, '__module__', '?')}.{getattr(target, '__qualname__', repr(target))}"


def _function_of(target: Callable[..., Any]) -> Callable[..., Any]:
    function = _execute_of(target) if inspect.isclass(target) else target
    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        raise InvalidStep(f"{_place(target)} is no function, no async def, and no class with an execute()")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidStep(f"{_place(target)} yields, which a step can't: return a list instead")
    return function


def _execute_of(target: type) -> Any:
    if inspect.isabstract(target):
        raise InvalidStep(f"{_place(target)} has abstract methods: no instance can be made for an attempt")
    needed = [one.name for one in inspect.signature(target).parameters.values() if _must_be_given(one)]
    if needed:
        raise InvalidStep(
            f"{_place(target)} needs {', '.join(needed)} to be made, and one is made for each attempt: "
            f"take them in execute() instead"
        )
    return getattr(target, "execute", None)


def _must_be_given(parameter: inspect.Parameter) -> bool:
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and parameter.kind not in many


def _signature_of(target: Callable[..., Any], function: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(function)
    bound = (staticmethod, classmethod)
    if not inspect.isclass(target) or isinstance(inspect.getattr_static(target, "execute"), bound):
        return signature
    without_self = list(signature.parameters.values())[1:]
    return signature.replace(parameters=without_self)
