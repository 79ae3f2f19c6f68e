"""What ``@step`` makes of functions, coroutines and classes, and what it refuses."""

import functools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from steps.backoff import Backoff
from steps.decorator import define, step
from steps.definition import StepFacts
from steps.errors import InvalidStep
from steps.options import StepOptions
from steps.registry import StepRegistry

REGISTRY = StepRegistry()


@pytest.fixture(autouse=True)
def _own_steps() -> Iterator[None]:
    with REGISTRY.isolated():
        yield


def test_a_bare_decorator_registers_the_function_under_its_name_and_returns_it() -> None:
    def ReadIt(path: str) -> str:
        return path

    assert step(ReadIt) is ReadIt
    definition = REGISTRY.get("ReadIt")
    assert definition.target is ReadIt
    assert not definition.is_coroutine
    assert not definition.takes_context
    assert definition.module == __name__
    assert definition.place.endswith("<locals>.ReadIt")


def test_every_option_reaches_the_definition() -> None:
    @step(
        name="Other",
        critical=True,
        lane="session:{session_id}",
        queue="own",
        timeout=5,
        retries=3,
        backoff="linear",
        delay=0.5,
        cap=4,
        jitter=False,
        idempotent=True,
        isolation="process",
        max_running=3,
        rate="10/s",
    )
    def Changed() -> None: ...

    definition = REGISTRY.get("Other")
    assert (definition.max_running, definition.rate) == (3, "10/s")
    assert definition.isolation == definition.facts().isolation == "process"
    assert definition.critical is True
    assert definition.lane == "session:{session_id}"
    assert definition.queue == "own"
    assert definition.timeout_s == 5.0
    assert definition.retries == 3
    assert definition.backoff == Backoff("linear", 0.5, 4, jitter=False)
    assert definition.idempotent


def test_options_left_out_stay_undecided() -> None:
    def Plain() -> None: ...

    definition = define(Plain)
    undecided = (definition.critical, definition.lane, definition.queue, definition.timeout_s)
    assert undecided == (None, None, None, None)
    assert definition.retries is None
    assert definition.backoff is None
    assert (definition.max_running, definition.rate, definition.isolation) == (None, None, None)


def test_a_delay_alone_makes_an_exponential_backoff() -> None:
    def Plain() -> None: ...

    assert define(Plain, StepOptions(delay=0.25)).backoff == Backoff("exponential", 0.25)


def test_a_whole_backoff_is_taken_as_it_is() -> None:
    def Plain() -> None: ...

    backoff = Backoff("random", 0.1)
    assert define(Plain, StepOptions(backoff=backoff)).backoff is backoff


def test_an_async_function_is_a_coroutine_step() -> None:
    async def Wait() -> None: ...

    assert define(Wait).is_coroutine


def test_a_class_is_instantiated_for_each_attempt() -> None:
    class Counting:
        def __init__(self) -> None:
            self.calls = 0

        def execute(self, by: int = 1) -> int:
            self.calls += by
            return self.calls

    definition = define(Counting)
    assert definition.name == "Counting"
    assert definition.new_callable()(by=2) == 2
    assert definition.new_callable()(by=2) == 2
    assert definition.check({"by": 3}, {}) == []
    assert definition.check({"self": 3}, {})[0].path == "params.self"


def test_an_async_execute_makes_a_coroutine_step() -> None:
    class Waiting:
        async def execute(self) -> None: ...

    assert define(Waiting).is_coroutine


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
def test_an_execute_without_self_keeps_all_its_parameters(kind: Any) -> None:
    def execute(*args: Any, path: str) -> str:
        return path

    def plain(path: str) -> str:
        return path

    def of_class(cls: type, path: str) -> str:
        return path

    chosen = plain if kind is staticmethod else of_class
    target = type("Fixed", (), {"execute": kind(chosen)})
    assert define(target).signature.names == {"path"}
    assert define(target).new_callable()(path="here") == "here"


def test_a_wrapped_function_shows_the_signature_of_what_it_wraps() -> None:
    def traced(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @traced
    def ReadIt(path: str) -> str:
        return path

    definition = define(ReadIt)
    assert definition.signature.names == {"path"}
    assert definition.check({"path": 1}, {})[0].path == "params.path"


def variadic(*paths: str) -> None: ...


def positional_only(path: str, /) -> None: ...


def generating() -> Iterator[int]:
    yield 1


async def generating_later() -> AsyncIterator[int]:
    yield 1


class WithoutExecute: ...


class Needy:
    def __init__(self, session: str) -> None: ...

    def execute(self) -> None: ...


class Abstract(ABC):
    @abstractmethod
    def execute(self) -> None: ...


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (variadic, "takes 'paths' by position only"),
        (positional_only, "takes 'path' by position only"),
        (generating, "yields"),
        (generating_later, "yields"),
        (WithoutExecute, "no class with an execute"),
        (Needy, "needs session to be made"),
        (Abstract, "abstract methods"),
        (functools.partial(print, "x"), "is no function"),
        (print, "is no function"),
        (lambda: None, "needs a name="),
    ],
)
def test_what_can_not_be_a_step_is_refused_when_it_is_defined(target: Any, said: str) -> None:
    with pytest.raises(InvalidStep, match=said):
        step(target)
    assert len(REGISTRY) == len(set(REGISTRY.names()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": " "}, "name must be a text"),
        ({"name": "a\nb"}, "printable"),
        ({"name": "x" * 201}, "201 characters; 200 are allowed"),
        ({"name": 7}, "name must be a text"),
        ({"critical": "yes"}, "critical must be True or False, not 'yes'"),
        ({"idempotent": 1}, "idempotent must be True or False"),
        ({"timeout": 0}, "timeout must be 0.01 to 86400 seconds, not 0"),
        ({"timeout": float("nan")}, "timeout must be"),
        ({"timeout": True}, "timeout must be"),
        ({"retries": -1}, "retries must be 0 to 100 attempts after the first, not -1"),
        ({"retries": 1.5}, "retries must be"),
        ({"lane": ""}, "lane must be a printable text"),
        ({"lane": "a:{b"}, "is no template"),
        ({"lane": "a:{b.c}"}, "as {key}, not {b.c}"),
        ({"lane": "a:{}"}, "as {key}, not {}"),
        ({"queue": ""}, "queue must be a printable text"),
        ({"backoff": "quick"}, "backoff must be one of"),
        ({"delay": -1.0}, "delay of a backoff"),
        ({"backoff": Backoff(), "delay": 1.0}, "belong inside the Backoff"),
        ({"isolation": "thread"}, "isolation must be \"process\" or left out, not 'thread'"),
        ({"isolation": True}, "isolation must be"),
        ({"isolation": ["process"]}, "isolation must be"),
        ({"max_running": 0}, "max_running must be 1 to 10000 attempts at once, not 0"),
        ({"max_running": 10_001}, "max_running must be"),
        ({"max_running": 2.0}, "max_running must be"),
        ({"max_running": True}, "max_running must be"),
        ({"max_running": "3"}, "max_running must be 1 to 10000 attempts at once, not '3'"),
        ({"rate": "10"}, "rate: '10' is no rate: write 1 to 10000 starts a unit, as 10/s, 100/m or 1000/h"),
        ({"rate": 10}, "rate: '10' is no rate"),
        ({"rate": ""}, "rate: '' is no rate"),
        ({"rate": "0/s"}, "rate: '0/s' is no rate"),
        ({"rate": ("10", "s")}, "is no rate"),
    ],
)
def test_an_option_out_of_its_range_is_refused_with_what_is_allowed(options: Any, said: str) -> None:
    def Plain() -> None: ...

    with pytest.raises(InvalidStep) as caught:
        step(**options)(Plain)
    assert said in str(caught.value)
    assert "Plain" in str(caught.value)
    assert "Plain" not in REGISTRY


def test_all_wrong_options_are_named_at_once() -> None:
    def Plain() -> None: ...

    with pytest.raises(InvalidStep) as caught:
        step(timeout=0, retries=-1, critical="no")(Plain)  # type: ignore[call-overload]
    assert all(option in str(caught.value) for option in ("timeout", "retries", "critical"))


def test_an_unknown_option_is_a_mistake_of_the_programmer() -> None:
    with pytest.raises(TypeError, match="time_out"):
        step(time_out=5)  # type: ignore[call-overload]


def test_facts_come_back_from_json_as_they_were() -> None:
    @step(critical=False, lane="a:{path}", timeout=2, retries=2, backoff="fixed", idempotent=True)
    def ReadIt(path: str, deep: bool = True) -> None: ...

    facts = REGISTRY.get("ReadIt").facts()
    assert StepFacts.from_json(facts.to_json()) == facts
    assert facts.schema is not None
    assert facts.schema["required"] == ["path"]
    assert facts.schema["properties"]["deep"]["default"] is True


def test_facts_of_a_later_version_are_read_without_what_is_new_in_them() -> None:
    text = '{"name": "A", "critical": true, "colour": "green", "backoff": {"kind": "fixed", "new": 1}}'
    assert StepFacts.from_json(text) == StepFacts("A", critical=True, backoff=Backoff("fixed"))
