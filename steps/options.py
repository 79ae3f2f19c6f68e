"""The options of ``@step``, and what they may be."""

from dataclasses import dataclass
from string import Formatter
from typing import Any, Final, Literal, TypeAlias, get_args

from config.choices import BackoffKind
from config.limits import MAX_RUNNING_RANGE, RETRIES_RANGE, TIMEOUT_RANGE_S
from steps.backoff import Backoff
from steps.rate import Rate

MAX_NAME_CHARS: Final = 200
"""Longest name of a step; the setting ``max_name_chars`` can only allow a batch less."""

Isolation: TypeAlias = Literal["process"]
"""Where the attempts of a step run: in a process of their own."""

Exceptions: TypeAlias = type[BaseException] | tuple[type[BaseException], ...]
"""Classes of exceptions, as ``except`` takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOptions:
    """What ``@step(...)`` was given; None: left to the call, else to the settings.

    Args:
        name: Under which it is called; the target's own name if left out.
        critical: True: it changes things; False: it only reads; None: the rules decide.
        lane: The template of its lane's key.
        queue: The queue it runs on, if not the one of its class.
        timeout: How long one attempt may run, in seconds.
        retries: Attempts after the first.
        backoff: The waits before retries: a `Backoff`, or its kind, with the three below.
        delay: The wait after the first failure, in seconds.
        cap: The longest wait, in seconds.
        jitter: Whether an exponential wait is shortened at random.
        idempotent: Whether running it twice does no more than running it once.
        isolation: ``process``: each attempt runs in a process of its own.
        max_running: How many attempts of it run at once over the whole site.
        rate: How often it starts over the whole site, as ``10/s``, ``100/m`` or ``1000/h``.
        retry_on: Exceptions after which it is tried again; after no other, if given. With `StepTimeout` among them,
            after a time-out too.
        give_up_on: Exceptions after which it is not.
    """

    name: str | None = None
    critical: bool | None = None
    lane: str | None = None
    queue: str | None = None
    timeout: float | None = None
    retries: int | None = None
    backoff: BackoffKind | Backoff | None = None
    delay: float | None = None
    cap: float | None = None
    jitter: bool | None = None
    idempotent: bool = False
    isolation: Isolation | None = None
    max_running: int | None = None
    rate: str | None = None
    retry_on: Exceptions | None = None
    give_up_on: Exceptions | None = None

    def problems(self) -> list[str]:
        """Return a sentence for every option that is not what it may be."""
        found = [
            _name_problem(self.name),
            _yes_or_no_problem("critical", self.critical),
            _yes_or_no_problem("idempotent", self.idempotent),
            _text_problem("queue", self.queue),
            _text_problem("lane", self.lane) or _template_problem(self.lane),
            _number_problem("timeout", self.timeout, TIMEOUT_RANGE_S, "seconds"),
            _number_problem("retries", self.retries, RETRIES_RANGE, "attempts after the first"),
            _isolation_problem(self.isolation),
            _number_problem("max_running", self.max_running, MAX_RUNNING_RANGE, "attempts at once"),
            _rate_problem(self.rate),
            _exceptions_problem("retry_on", self.retry_on),
            _exceptions_problem("give_up_on", self.give_up_on),
            self._backoff_problem(),
        ]
        return [one for one in found if one]

    def chosen_backoff(self) -> Backoff | None:
        """Return the waits that were chosen, or None where nothing was said about them.

        Raises:
            TypeError, ValueError: The parts make no `Backoff`.
        """
        parts = self._backoff_parts()
        if isinstance(self.backoff, Backoff):
            return self.backoff
        return Backoff(self.backoff or "exponential", **parts) if parts or self.backoff is not None else None

    def _backoff_parts(self) -> dict[str, Any]:
        parts = {"delay_s": self.delay, "cap_s": self.cap, "jitter": self.jitter}
        return {name: value for name, value in parts.items() if value is not None}

    def _backoff_problem(self) -> str | None:
        if isinstance(self.backoff, Backoff) and self._backoff_parts():
            return "delay, cap and jitter belong inside the Backoff, not beside it"
        try:
            self.chosen_backoff()
        except (TypeError, ValueError) as error:
            return str(error)
        return None


def as_tuple(exceptions: Exceptions | None) -> tuple[type[BaseException], ...]:
    """Return classes of exceptions as a tuple, empty for none."""
    if exceptions is None:
        return ()
    return exceptions if isinstance(exceptions, tuple) else (exceptions,)


def _exceptions_problem(option: str, exceptions: object) -> str | None:
    given = exceptions if isinstance(exceptions, tuple) else () if exceptions is None else (exceptions,)
    wrong = [one for one in given if not (isinstance(one, type) and issubclass(one, BaseException))]
    return f"{option} must be classes of exceptions, not {wrong[0]!r}" if wrong else None


def _rate_problem(rate: object) -> str | None:
    if rate is None:
        return None
    try:
        Rate.parse(str(rate))
    except ValueError as error:
        return f"rate: {error}"
    return None


def _name_problem(name: object) -> str | None:
    if name is None:
        return None
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        return f"name must be a text of printable characters that is not empty, not {name!r}"
    if len(name) > MAX_NAME_CHARS:
        return f"name has {len(name)} characters; {MAX_NAME_CHARS} are allowed"
    return None


def _yes_or_no_problem(option: str, value: object) -> str | None:
    return None if value is None or isinstance(value, bool) else f"{option} must be True or False, not {value!r}"


def _text_problem(option: str, value: object) -> str | None:
    if value is None or (isinstance(value, str) and value.strip() and value.isprintable()):
        return None
    return f"{option} must be a printable text that is not empty, not {value!r}"


def _isolation_problem(isolation: object) -> str | None:
    if isolation is None or isolation in get_args(Isolation):
        return None
    return f'isolation must be "process" or left out, not {isolation!r}'


def _template_problem(lane: str | None) -> str | None:
    try:
        fields = [field for _, field, _, _ in Formatter().parse(lane or "") if field is not None]
    except ValueError as error:
        return f"lane {lane!r} is no template: {error}"
    wrong = [field for field in fields if not field.isidentifier()]
    return f"lane {lane!r} names params and context keys as {{key}}, not {{{wrong[0]}}}" if wrong else None


def _number_problem(option: str, value: object, allowed: tuple[float, float], unit: str) -> str | None:
    kinds = int if isinstance(allowed[0], int) else (int, float)
    if value is None:
        return None
    if isinstance(value, kinds) and not isinstance(value, bool) and allowed[0] <= value <= allowed[1]:
        return None
    return f"{option} must be {allowed[0]:g} to {allowed[1]:g} {unit}, not {value!r}"
