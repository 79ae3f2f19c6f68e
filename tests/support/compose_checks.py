"""What must hold of the Compose file: each check takes the loaded file and returns what is wrong, in sentences."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from config.errors import SteplineError
from config.setting_sources import PREFIX, variable
from config.settings import Settings, load_settings
from producer.cli.arguments import parse
from tests.support.compose_files import filled_in, megabytes, seconds, variables_of, without_variables
from tests.support.processes import ROOT

SECRETS = {"REDIS_PASSWORD": "secret", "STEPLINE_FLOWER_BASIC_AUTH": "flower:secret"}
"""The variables that a site is given from outside."""

STOP_MARGIN_S = 2.0
"""How much longer than the worker's own grace Compose waits before it kills."""

HEALTH_KEYS = ("test", "interval", "timeout", "retries", "start_period")
SECRET_NAME = re.compile(r"pass|secret|token|auth|credential", re.IGNORECASE)
PINNED = re.compile(r"[a-z/]+:\d+\.\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}")
USER = re.compile(r"[1-9]\d*:[1-9]\d*")

Compose = Mapping[str, Any]
CHECKS: dict[str, Callable[[Compose], Iterator[str]]] = {}


def check(function: Callable[[Compose], Iterator[str]]) -> Callable[[Compose], Iterator[str]]:
    CHECKS[function.__name__] = function
    return function


@cache
def schema_validator() -> Draft202012Validator:
    schema = json.loads((ROOT / "tests/data/compose_schema/compose-spec.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def ours(compose: Compose) -> dict[str, Any]:
    """Return the services that run Stepline's image."""
    return {name: service for name, service in compose["services"].items() if "build" in service}


def workers(compose: Compose) -> dict[str, str]:
    """Return the queue of each service that is a worker."""
    commands = {name: service["command"] for name, service in ours(compose).items()}
    return {name: parse(words[1:]).queue for name, words in commands.items() if words[1] == "worker"}


def stepline_words(service: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the arguments of each call of the command in a service: what it runs, and its health check."""
    for words in (service["command"], service["healthcheck"]["test"][1:]):
        if words[0] == "stepline":
            yield words[1:]


@check
def schema(compose: Compose) -> Iterator[str]:
    for error in schema_validator().iter_errors(compose):
        yield f"{error.json_path}: {error.message}"


@check
def commands(compose: Compose) -> Iterator[str]:
    for name, service in ours(compose).items():
        if service["command"][0] != "stepline":
            yield f"{name} does not run stepline"
        for words in stepline_words(service):
            try:
                parse(words)
            except SteplineError as error:
                yield f"{name}: {error}"


@check
def queues(compose: Compose) -> Iterator[str]:
    served = sorted(workers(compose).values())
    if served != (wanted := sorted(queue.name for queue in Settings().queues)):
        yield f"the workers serve {served}, the queues are {wanted}"
    for name, queue in workers(compose).items():
        if compose["services"][name]["healthcheck"]["test"] != ["CMD", "stepline", "health", "--queue", queue]:
            yield f"the health check of {name} does not ask for a worker of {queue}"


@check
def settings(compose: Compose) -> Iterator[str]:
    known = {variable(name) for name in Settings.model_fields}
    for name, service in compose["services"].items():
        given = service.get("environment", {})
        if unknown := sorted({key for key in given if key.startswith(PREFIX)} - known):
            yield f"{name}: {unknown} are no settings"
            continue
        try:
            load_settings(filled_in(given, SECRETS))
        except SteplineError as error:
            yield f"{name}: {error}"


@check
def steps(compose: Compose) -> Iterator[str]:
    modules = [compose["services"][name]["environment"].get("STEPLINE_STEP_MODULES", "") for name in workers(compose)]
    if not modules or len(set(modules)) != 1:
        yield "the workers do not all know the same steps"
    for module in filled_in(modules, {}):
        if not module.startswith("examples.") or not (ROOT / f"{module.replace('.', '/')}.py").is_file():
            yield f"the steps {module!r} are not in the image"


@check
def ports(compose: Compose) -> Iterator[str]:
    for name, service in compose["services"].items():
        if service.get("network_mode"):
            yield f"{name} is on the network of its host"
        published = service.get("ports", [])
        if published and name != "flower":
            yield f"{name} publishes {published}"
        yield from (
            f"{name} publishes {port} to more than loopback"
            for port in published
            if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", filled_in(port, {}))
        )


@check
def secrets(compose: Compose) -> Iterator[str]:
    for name, service in compose["services"].items():
        for key, value in service.get("environment", {}).items():
            if SECRET_NAME.search(key) and without_variables(value):
                yield f"{name} has {key} in the file"
        for text in _texts(service):
            yield from (
                f"{name}: {secret} has a default" for secret, rest in variables_of(text) if rest and is_secret(secret)
            )
            if re.search(r"//[^/@]*[^/@:]@", without_variables(text)):
                yield f"{name} has a password in a URL"
        words = service.get("command", [])
        if "--requirepass" in words and without_variables(words[words.index("--requirepass") + 1]):
            yield f"{name} has its password in the file"
    auth = compose["services"]["flower"]["environment"].get("STEPLINE_FLOWER_BASIC_AUTH", "")
    if not re.fullmatch(r"\$\{STEPLINE_FLOWER_BASIC_AUTH:\?[^}]+\}", auth):
        yield "flower starts without a password"


def is_secret(name: str) -> bool:
    return bool(SECRET_NAME.search(name))


@check
def images(compose: Compose) -> Iterator[str]:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    for name, service in compose["services"].items():
        image = filled_in(service["image"], {})
        if "build" in service:
            if image != f"stepline:{version}":
                yield f"{name} runs {image}, the project is version {version}"
        elif not PINNED.fullmatch(image):
            yield f"{name}: {image} is not pinned by version and digest"


@check
def privileges(compose: Compose) -> Iterator[str]:
    for name, service in compose["services"].items():
        if not USER.fullmatch(service.get("user", "")):
            yield f"{name} runs as root"
        if service.get("cap_drop") != ["ALL"] or service.get("cap_add") or service.get("privileged"):
            yield f"{name} has capabilities"
        if service.get("security_opt") != ["no-new-privileges:true"]:
            yield f"{name} may gain privileges"
        if service.get("read_only") is not True:
            yield f"{name} may write to its root"


@check
def health(compose: Compose) -> Iterator[str]:
    for name, service in compose["services"].items():
        test = service.get("healthcheck", {})
        if missing := [key for key in HEALTH_KEYS if key not in test]:
            yield f"{name} has no health check, or one without {missing}"
        elif test.get("disable") or test["test"][0] not in ("CMD", "CMD-SHELL"):
            yield f"the health check of {name} is switched off"
        elif seconds(test["timeout"]) > seconds(test["interval"]):
            yield f"the health checks of {name} overlap"


@check
def starting_and_stopping(compose: Compose) -> Iterator[str]:
    for name, service in compose["services"].items():
        if service.get("restart") != "unless-stopped":
            yield f"{name} is not started again"
        given = filled_in(service.get("environment", {}), SECRETS)
        own_s = float(given.get("STEPLINE_SHUTDOWN_S", Settings().shutdown_s))
        if seconds(service.get("stop_grace_period", "10s")) < own_s + STOP_MARGIN_S:
            yield f"{name} is killed before its own {own_s:g} s are over"
    for name, service in ours(compose).items():
        if service.get("depends_on", {}).get("redis") != {"condition": "service_healthy"}:
            yield f"{name} does not wait for redis"
        if service.get("init") is not True:
            yield f"{name} reaps nothing"


@check
def scaling(compose: Compose) -> Iterator[str]:
    for name, service in compose["services"].items():
        if not {"cpus", "memory"} <= set(service.get("deploy", {}).get("resources", {}).get("limits", {})):
            yield f"{name} has no limits"
    parallel = compose["services"]["parallel"]
    if hindrances := [key for key in ("container_name", "ports", "hostname") if key in parallel]:
        yield f"parallel can't be scaled: it has {hindrances}"
    if compose["services"]["critical"]["deploy"].get("replicas") != 1:
        yield "critical is not one replica"


@check
def redis(compose: Compose) -> Iterator[str]:
    service = compose["services"]["redis"]
    flags = redis_flags(filled_in(service["command"], {}))
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "requirepass": ""}
    for flag, value in wanted.items():
        if flags.get(flag) != value:
            yield f"redis runs with {flag} {flags.get(flag)!r}, not {value!r}"
    limit = service["deploy"]["resources"]["limits"]["memory"]
    if megabytes(flags.get("maxmemory", "0mb")) not in range(1, int(megabytes(limit) * 0.75)):
        yield f"redis has no maxmemory that fits {limit}"
    volumes = [volume for volume in service.get("volumes", []) if volume.endswith(":/data")]
    if [volume.partition(":")[0] for volume in volumes] != list(compose["volumes"]):
        yield "redis does not keep its data in a named volume"
    if open_networks := [name for name in service["networks"] if not compose["networks"][name].get("internal")]:
        yield f"redis is on {open_networks}, which lead outside"


def redis_flags(words: list[str]) -> dict[str, str]:
    """Return the options of a Redis server's command line."""
    return {flag.removeprefix("--"): value for flag, value in zip(words[1::2], words[2::2], strict=True)}


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)
