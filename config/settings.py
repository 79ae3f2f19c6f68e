"""All settings of Stepline: read once, checked, frozen, then handed down; nothing else reads the environment.

A field ``parcel_size`` is read from the variable ``STEPLINE_PARCEL_SIZE``, else from the key ``parcel_size``
of ``stepline.toml`` (in the working folder, or where ``STEPLINE_CONFIG`` says), else it has its default.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from config import setting_checks as checks
from config.choices import BackoffKind, Order, Strategy
from config.errors import SettingsError
from config.limits import (
    CONCURRENCY_RANGE,
    DEADLINE_RANGE_S,
    DELAY_RANGE_S,
    MAX_LANE_CHARS,
    RETRIES_RANGE,
    TIMEOUT_RANGE_S,
)
from config.queue_settings import NAME_PATTERN, QueueSettings
from config.setting_errors import Contradictions, unknown_name, wrong_values
from config.setting_sources import Source, read_environment, read_toml, state_folder, variable

_SHORT_S: Final = 60.0
"""The longest time-out for one exchange with Redis or the broker, in seconds."""

_HOUR_S: Final = 3_600.0
_DAY_S: Final = 86_400
_MONTH_S: Final = 31 * _DAY_S

_KIB: Final = 1_024
_MIB: Final = 1_024 * _KIB
_GIB: Final = 1_024 * _MIB


# What is allowed, in words, where it is no range and no choice.
_A_URL: Final = "a URL redis://, rediss:// or unix:// (a path), or nothing for an embedded Redis"
_A_BROKER: Final = "a URL of a broker that Celery knows, as amqp://host or redis://host, or nothing"
_A_NAME: Final = "1 to 50 letters, digits, dots, dashes and underscores, a letter or digit first"
_A_LANE: Final = f"1 to {MAX_LANE_CHARS} characters, none of them a control character"
_A_FOLDER: Final = "the path of a folder"
_A_FILE: Final = "the path of a file, or nothing"
_AN_ADDRESS: Final = "an address of this machine to listen on, as 127.0.0.1 or 0.0.0.0"
_MODULES: Final = "names of importable modules, separated by commas (in stepline.toml a list)"
_QUEUES: Final = (
    "a list of queues, each with name, pool (prefork or threads), concurrency, prefetch and routes; in the"
    ' variable JSON: [{"name": "critical", "pool": "prefork"}, {"name": "parallel", "pool": "threads"}]'
)
_TWO_QUEUES: Final = (
    QueueSettings(name="critical", pool="prefork", concurrency=1, prefetch=1),
    QueueSettings(name="parallel", pool="threads", concurrency=20, prefetch=1),
)


def _between(default: Any, bounds: tuple[float, float]) -> Any:
    return Field(default, ge=bounds[0], le=bounds[1])


class Settings(BaseModel):
    """The settings; ``_s`` are seconds, ``_kib`` KiB. Each is told by its source: see ``source``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Where things are. No redis_url: an embedded Redis. No broker_url: the Redis of the ledger.
    redis_url: str | None = Field(None, repr=False, description=_A_URL)  # repr: it may hold a password
    broker_url: str | None = Field(None, repr=False, description=_A_BROKER)
    data_dir: Path = Field(default_factory=state_folder, description=_A_FOLDER)
    key_prefix: str = Field("stepline", pattern=NAME_PATTERN, description=_A_NAME)
    step_modules: tuple[str, ...] = Field((), description=_MODULES)

    # How steps are told apart, and where they go.
    rules_file: Path | None = Field(None, description=_A_FILE)  # None: config/rules.toml
    unknown_is_critical: bool = True
    critical_queue: str = Field("critical", pattern=NAME_PATTERN, description=_A_NAME)
    parallel_queue: str = Field("parallel", pattern=NAME_PATTERN, description=_A_NAME)
    queues: tuple[QueueSettings, ...] = Field(_TWO_QUEUES, description=_QUEUES)
    default_lane: str = Field("global", min_length=1, max_length=MAX_LANE_CHARS, description=_A_LANE)

    # How a run runs, where neither batch, step nor call says otherwise.
    max_concurrency: int = _between(10, CONCURRENCY_RANGE)  # steps of one run at once
    parcel_size: int = _between(10, (1, 1_000))  # steps of unknown run time in one message
    order: Order = "critical_first"
    strategy: Strategy = "basic"  # after a failed critical step: skip the rest, or run on
    step_timeout_s: float = _between(30.0, TIMEOUT_RANGE_S)
    run_deadline_s: float = _between(3_600.0, DEADLINE_RANGE_S)
    retries: int = _between(1, RETRIES_RANGE)
    critical_retries: int = _between(0, RETRIES_RANGE)
    retry_delay_s: float = _between(1.0, DELAY_RANGE_S)
    retry_backoff: BackoffKind = "exponential"
    retry_jitter: bool = True
    retry_cap_s: float = _between(60.0, DELAY_RANGE_S)
    queue_limit: int = _between(100_000, (1, 10_000_000))  # pending steps a queue: beyond, QueueFull
    inline_executions: int = _between(50, (1, 10_000))  # executions that the in-process engines admit at once

    # What a batch may weigh.
    max_params_bytes: int = _between(256 * _KIB, (1, _GIB))
    max_value_bytes: int = _between(_MIB, (1, _GIB))
    max_run_bytes: int = _between(16 * _MIB, (1, _GIB))
    max_steps: int = _between(10_000, (1, 1_000_000))
    max_depth: int = _between(32, (1, 100))
    max_name_chars: int = _between(200, (1, 1_000))

    # The ledger and the keeper.
    lane_hold_s: float = _between(10.0, (0.0, _HOUR_S))
    lease_s: float = _between(5.0, (0.5, _HOUR_S))
    heartbeat_s: float = _between(1.0, (0.05, _HOUR_S))
    republish_s: float = _between(2.0, (0.1, _HOUR_S))
    result_ttl_s: int = _between(_DAY_S, (1, _MONTH_S))
    known_steps_ttl_s: int = _between(_DAY_S, (1, _MONTH_S))
    memory_share: float = _between(0.9, (0.1, 1.0))  # of Redis' maxmemory: beyond, StoreFull

    # The way to Redis and the broker.
    connect_timeout_s: float = _between(2.0, (0.05, _SHORT_S))
    socket_timeout_s: float = _between(5.0, (0.05, _SHORT_S))
    publish_retries: int = _between(2, RETRIES_RANGE)

    # Workers.
    shutdown_s: float = _between(6.0, (0.0, _HOUR_S))  # grace of a worker that stops
    zombie_limit: int = _between(10, (1, 10_000))
    max_tasks_per_child: int | None = _between(None, (1, 1_000_000_000))
    max_memory_per_child_kib: int | None = _between(None, (1, _GIB))
    restart_delay_s: float = _between(0.2, (0.0, _HOUR_S))
    restart_delay_cap_s: float = _between(5.0, (0.0, _HOUR_S))
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = "json"

    # Flower, the dashboard. Anywhere but on loopback it is refused without a password.
    flower_address: str = Field("127.0.0.1", min_length=1, description=_AN_ADDRESS)
    flower_port: int = _between(5_555, (1, 65_535))
    flower_basic_auth: str | None = Field(None, repr=False, description=checks.A_LOGIN)
    flower_max_tasks: int = _between(10_000, (1, 1_000_000))  # steps that it remembers

    _sources: dict[str, Source] = PrivateAttr(default_factory=dict)

    _level = field_validator("log_level", mode="before")(checks.upper)
    _redis = field_validator("redis_url")(checks.redis_url)
    _broker = field_validator("broker_url")(checks.broker_url)
    _paths = field_validator("data_dir", "rules_file", mode="before")(checks.whole_path)
    _modules = field_validator("step_modules")(checks.module_names)
    _lane = field_validator("default_lane")(checks.no_control_characters)
    _address = field_validator("flower_address")(checks.address)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        found = [*_queue_contradictions(self), *_number_contradictions(self), *checks.login(self.flower_basic_auth)]
        if found:
            raise Contradictions(found)
        return self

    def queue(self, name: str) -> QueueSettings:
        """Return the queue of that name.

        Raises:
            SettingsError: There is none.
        """
        for queue in self.queues:
            if queue.name == name:
                return queue
        raise unknown_name("queue", name, [queue.name for queue in self.queues])

    def routed_queue(self, step_name: str) -> QueueSettings | None:
        """Return the first queue one of whose routes finds ``step_name``, or None."""
        return next((queue for queue in self.queues if queue.takes(step_name)), None)

    def source(self, name: str) -> Source:
        """Return where a field's value came from: ``environment``, ``stepline.toml`` or ``default``.

        Raises:
            SettingsError: There is no such field.
        """
        if name not in type(self).model_fields:
            raise unknown_name("setting", name, type(self).model_fields)
        return self._sources.get(name, "default")


def load_settings(environ: Mapping[str, str] | None = None, toml_path: Path | None = None) -> Settings:
    """Read, check and freeze the settings.

    Args:
        environ: The variables; by default those of the process.
        toml_path: The settings file, which must be there; by default the one that ``STEPLINE_CONFIG`` names,
            else ``stepline.toml`` in the working folder if there is one.

    Raises:
        SettingsError: With all wrong values at once; each problem names the variable or key and what is
            allowed.
    """
    environ = os.environ if environ is None else environ
    fields = Settings.model_fields
    layers = (read_toml(fields, environ, toml_path), read_environment(fields, environ))
    values: dict[str, object] = {"data_dir": state_folder(environ)}
    names = {name: variable(name) for name in fields}
    sources: dict[str, Source] = {}
    problems = []
    for layer in layers:
        values.update(layer.values)
        names.update(layer.names)
        sources.update(dict.fromkeys(layer.values, layer.source))
        problems += layer.problems
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(*problems, *wrong_values(error, fields, names)) from None
    if problems:
        raise SettingsError(*problems)
    settings._sources.update(sources)
    return settings


def _queue_contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    names = [queue.name for queue in settings.queues]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield "queues", f"the name {name!r} is given twice; allowed is a name of its own for each queue"
    for role, name in (
        ("critical_queue", settings.critical_queue),
        ("parallel_queue", settings.parallel_queue),
    ):
        if name not in names:
            yield role, f"{name!r} is none of the queues; allowed is one of {', '.join(names)}"
    if settings.critical_queue == settings.parallel_queue:
        yield "parallel_queue", f"{settings.parallel_queue!r} is the critical queue; allowed is another one"
    for queue in settings.queues:
        if queue.name == settings.critical_queue and queue.pool != "prefork":
            reason = "critical steps run there; a thread that hangs can't be ended and would hold its lane"
            yield "queues", f"the pool of {queue.name!r} is {queue.pool!r}; allowed is 'prefork': {reason}"


def _number_contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    for small, large, factor, reason in (
        ("heartbeat_s", "lease_s", 2, "a lease must outlive a late heartbeat"),
        ("restart_delay_s", "restart_delay_cap_s", 1, "the delay grows up to its cap"),
        ("retry_delay_s", "retry_cap_s", 1, "the delay grows up to its cap"),
        ("max_params_bytes", "max_run_bytes", 1, "a run holds its steps' params"),
        ("max_value_bytes", "max_run_bytes", 1, "a run holds its steps' values"),
    ):
        given, most = getattr(settings, small), getattr(settings, large) / factor
        if given > most:
            part = large if factor == 1 else f"1/{factor} of {large}"
            yield small, f"{given:g} is not allowed; allowed is at most {most:g}, {part}: {reason}"
