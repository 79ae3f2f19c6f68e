"""What a step is: a named callable with its class, limits and types, and the facts of it that travel."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from steps import json_value
from steps.backoff import Backoff
from steps.problem import Problem
from steps.signature import StepSignature


@dataclass(frozen=True, slots=True)
class StepFacts:
    """What is known of a step without its code: workers publish it, producers plan and refuse by it.

    Args:
        name: Of the registered step.
        critical: Its declared class; None leaves it to the rules.
        lane: The template of its lane's key; None for the default lane.
        queue: The queue it asks for; None for the one of its class.
        timeout_s: How long one attempt may run, in seconds; None for the default.
        retries: Attempts after the first; None for the default.
        backoff: The waits before retries; None for the default.
        idempotent: Whether running it twice does no more than running it once.
        isolation: ``process`` where each attempt runs in a process of its own; None where it need not.
        max_running: How many attempts of it run at once over the whole site; None for no limit.
        rate: How often it starts over the whole site, as ``10/s``; None for no limit.
        schema: JSON schema of its params; empty where there is none.
    """

    name: str
    critical: bool | None = None
    lane: str | None = None
    queue: str | None = None
    timeout_s: float | None = None
    retries: int | None = None
    backoff: Backoff | None = None
    idempotent: bool = False
    isolation: str | None = None
    max_running: int | None = None
    rate: str | None = None
    schema: dict[str, Any] | None = None

    def to_json(self) -> str:
        """Return the facts as compact JSON without what is unset."""
        return json_value.encode({key: value for key, value in asdict(self).items() if value is not None})

    @classmethod
    def from_json(cls, text: str | bytes) -> "StepFacts":
        """Return the facts of a text that `to_json` made; keys that a later version added are passed over."""
        record = json_value.decode(text)
        known = {key: record[key] for key in cls.__slots__ if key in record}
        if (backoff := record.get("backoff")) is not None:
            known["backoff"] = Backoff(**{key: backoff[key] for key in Backoff.__slots__ if key in backoff})
        return cls(**known)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepDefinition:
    """A registered step.

    Args:
        name: Unique in its process and, by agreement, in its site.
        target: The function, or the class whose ``execute`` is called on an instance made for each attempt.
        signature: What it takes and returns.
        is_coroutine: Whether it runs on the event loop.
        critical: Its declared class; None leaves it to the rules.
        lane: The template of its lane's key, such as ``session:{session_id}``; None for the default lane.
        queue: The queue it asks for; None for the one of its class.
        timeout_s: How long one attempt may run, in seconds; None for the default.
        retries: Attempts after the first; None for the default.
        backoff: The waits before retries; None for the default.
        idempotent: Whether running it twice does no more than running it once.
        isolation: ``process`` where each attempt runs in a process of its own; None where it need not.
        max_running: How many attempts of it run at once over the whole site; None for no limit.
        rate: How often it starts over the whole site, as ``10/s``; None for no limit.
        retry_on: Exceptions after which it is tried again; empty: after all but time-outs.
        give_up_on: Exceptions after which it is not.
    """

    name: str
    target: Callable[..., Any]
    signature: StepSignature
    is_coroutine: bool
    critical: bool | None = None
    lane: str | None = None
    queue: str | None = None
    timeout_s: float | None = None
    retries: int | None = None
    backoff: Backoff | None = None
    idempotent: bool = False
    isolation: str | None = None
    max_running: int | None = None
    rate: str | None = None
    retry_on: tuple[type[BaseException], ...] = ()
    give_up_on: tuple[type[BaseException], ...] = ()

    @property
    def module(self) -> str:
        """The module that defines it."""
        return self.target.__module__

    @property
    def place(self) -> str:
        """Where its code is: ``module.qualified_name``."""
        return f"{self.target.__module__}.{self.target.__qualname__}"

    @property
    def takes_context(self) -> bool:
        """Whether it has a ``ctx`` parameter, which receives the StepContext."""
        return self.signature.takes_context

    def new_callable(self) -> Callable[..., Any]:
        """Return what an attempt calls; for a class, the ``execute`` of a new instance."""
        if not inspect.isclass(self.target):
            return self.target
        instance: Any = self.target()
        return cast(Callable[..., Any], instance.execute)

    def bind(self, params: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any] | list[Problem]:
        """Return the validated arguments as `StepSignature.bind` does, or all that is wrong."""
        return self.signature.bind(params, context)

    def check(self, params: Mapping[str, Any], context: Mapping[str, Any]) -> list[Problem]:
        """Return all reasons why params don't fit, with paths such as ``params.path``; empty if they do."""
        bound = self.bind(params, context)
        return bound if isinstance(bound, list) else []

    def dump(self, value: Any) -> tuple[Any, list[Problem]]:
        """Return a result in JSON's own types, and why it can't be; depth and size are not looked at here."""
        return self.signature.dump(value)

    def facts(self) -> StepFacts:
        """Return what may be known of it without its code."""
        return StepFacts(
            name=self.name,
            critical=self.critical,
            lane=self.lane,
            queue=self.queue,
            timeout_s=self.timeout_s,
            retries=self.retries,
            backoff=self.backoff,
            idempotent=self.idempotent,
            isolation=self.isolation,
            max_running=self.max_running,
            rate=self.rate,
            schema=self.signature.schema(),
        )
