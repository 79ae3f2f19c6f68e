"""docker-compose.yml, Dockerfile and .dockerignore say what the code says, as far as can be told without an engine.

Every check is also shown a file with a fault planted in it, and must name it.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from tests.support import compose_checks, dockerfiles
from tests.support.compose_files import COMPOSE_FILE, filled_in, load_compose, megabytes, seconds, variables_of
from tests.support.dockerfiles import ImageFiles, Instruction, instructions_of, is_ignored, stages_of
from tests.support.processes import ROOT

Edit = Callable[[dict[str, Any]], object]


def put(*path: str, value: Any) -> Edit:
    """Return what sets the value at a path of the Compose file."""

    def edit(compose: dict[str, Any]) -> None:
        *way, last = path
        for key in way:
            compose = compose[key]
        compose[last] = value

    return edit


def drop(*path: str) -> Edit:
    """Return what takes away what is at a path."""

    def edit(compose: dict[str, Any]) -> None:
        *way, last = path
        for key in way:
            compose = compose[key]
        del compose[last]

    return edit


def flag(name: str, value: str) -> Edit:
    """Return what gives Redis another value of an option."""

    def edit(compose: dict[str, Any]) -> None:
        words = compose["services"]["redis"]["command"]
        words[words.index(f"--{name}") + 1] = value

    return edit


def of(service: str, *path: str, value: Any) -> Edit:
    return put("services", service, *path, value=value)


def extra_worker(compose: dict[str, Any]) -> None:
    compose["services"]["second"] = deepcopy(compose["services"]["critical"])


FAULTS: list[tuple[str, Edit, str]] = [
    ("schema", of("redis", "comand", value=[]), "comand"),
    ("schema", of("redis", "healthcheck", "retries", value={}), "retries"),
    ("commands", of("critical", "command", value=["stepline", "worker"]), "--queue"),
    ("commands", of("critical", "command", value=["stepline", "werker"]), "werker"),
    ("commands", of("critical", "healthcheck", "test", value=["CMD", "stepline", "health", "--que"]), "--que"),
    ("commands", of("flower", "command", value=["celery", "flower"]), "flower does not run stepline"),
    ("queues", of("parallel", "command", value=["stepline", "worker", "--queue", "paralel"]), "paralel"),
    ("queues", extra_worker, "'critical', 'critical'"),
    ("queues", drop("services", "parallel"), "the workers serve ['critical']"),
    (
        "queues",
        of("parallel", "healthcheck", "test", value=["CMD", "stepline", "health", "--queue", "critical"]),
        "of parallel does not ask",
    ),
    ("settings", of("critical", "environment", "STEPLINE_SHUTDOWN", value="3"), "STEPLINE_SHUTDOWN"),
    ("settings", of("critical", "environment", "STEPLINE_SHUTDOWN_S", value="soon"), "STEPLINE_SHUTDOWN_S"),
    ("settings", of("redis", "environment", "STEPLINE_PASSWORD", value=""), "redis"),
    ("steps", of("critical", "environment", "STEPLINE_STEP_MODULES", value="x.y"), "not all know"),
    ("ports", of("redis", "ports", value=["127.0.0.1:6379:6379"]), "redis publishes"),
    ("ports", of("flower", "ports", value=["5555:5555"]), "more than loopback"),
    ("ports", of("flower", "ports", value=["0.0.0.0:5555:5555"]), "more than loopback"),
    ("ports", of("parallel", "network_mode", value="host"), "network of its host"),
    ("secrets", of("redis", "environment", "REDIS_PASSWORD", value="x1"), "REDIS_PASSWORD in the file"),
    ("secrets", of("redis", "environment", "REDIS_PASSWORD", value="${REDIS_PASSWORD:-x1}"), "has a default"),
    ("secrets", of("critical", "environment", "STEPLINE_REDIS_URL", value="redis://:x1@redis:6379/0"), "in a URL"),
    ("secrets", flag("requirepass", "x1"), "redis has its password in the file"),
    ("secrets", of("flower", "environment", "STEPLINE_FLOWER_BASIC_AUTH", value="a:b"), "BASIC_AUTH in the file"),
    ("secrets", drop("services", "flower", "environment", "STEPLINE_FLOWER_BASIC_AUTH"), "without a password"),
    ("images", of("redis", "image", value="redis:7"), "not pinned"),
    ("images", of("redis", "image", value="redis:7.2.16-bookworm"), "not pinned"),
    ("images", of("redis", "image", value="redis@sha256:" + 64 * "0"), "not pinned"),
    ("images", of("flower", "image", value="stepline:latest"), "stepline:latest"),
    ("images", of("flower", "image", value="${WORKER_IMAGE:-stepline:0.0.9}"), "stepline:0.0.9"),
    ("privileges", drop("services", "redis", "user"), "redis runs as root"),
    ("privileges", of("critical", "user", value="0:0"), "critical runs as root"),
    ("privileges", of("critical", "cap_drop", value=["NET_RAW"]), "has capabilities"),
    ("privileges", of("critical", "cap_add", value=["SYS_PTRACE"]), "has capabilities"),
    ("privileges", of("critical", "privileged", value=True), "has capabilities"),
    ("privileges", drop("services", "flower", "security_opt"), "gain privileges"),
    ("privileges", of("parallel", "read_only", value=False), "write to its root"),
    ("health", drop("services", "redis", "healthcheck"), "redis has no health check"),
    ("health", of("flower", "healthcheck", "test", value=["NONE"]), "switched off"),
    ("health", of("flower", "healthcheck", "disable", value=True), "switched off"),
    ("health", of("flower", "healthcheck", "timeout", value="1m"), "overlap"),
    ("starting_and_stopping", of("redis", "restart", value="no"), "redis is not started again"),
    ("starting_and_stopping", of("critical", "stop_grace_period", value="20s"), "killed before"),
    ("starting_and_stopping", of("parallel", "environment", "STEPLINE_SHUTDOWN_S", value="60"), "killed before"),
    ("starting_and_stopping", drop("services", "flower", "depends_on"), "flower does not wait"),
    ("starting_and_stopping", of("flower", "depends_on", "redis", value={"condition": "service_started"}), "not wait"),
    ("starting_and_stopping", of("parallel", "init", value=False), "reaps nothing"),
    ("scaling", of("parallel", "container_name", value="parallel"), "container_name"),
    ("scaling", of("parallel", "ports", value=["127.0.0.1:1:1"]), "ports"),
    ("scaling", drop("services", "redis", "deploy", "resources", "limits", "memory"), "redis has no limits"),
    ("scaling", of("critical", "deploy", "replicas", value=2), "not one replica"),
    ("redis", flag("appendonly", "no"), "appendonly 'no'"),
    ("redis", flag("appendfsync", "no"), "appendfsync 'no'"),
    ("redis", flag("maxmemory-policy", "allkeys-lru"), "maxmemory-policy 'allkeys-lru'"),
    ("redis", flag("maxmemory", "1gb"), "no maxmemory that fits"),
    ("redis", of("redis", "volumes", value=["./data:/data"]), "named volume"),
    ("redis", of("redis", "volumes", value=[]), "named volume"),
    ("redis", of("redis", "networks", value=["outside"]), "lead outside"),
    ("redis", put("networks", "ledger", "internal", value=False), "lead outside"),
]

FILES = ImageFiles.load()


def docker(old: str, new: str) -> ImageFiles:
    """Return the files with something else in the Dockerfile, wherever it stands."""
    assert old in FILES.dockerfile
    return replace(FILES, dockerfile=FILES.dockerfile.replace(old, new))


def ignoring(*lines: str) -> ImageFiles:
    return replace(FILES, dockerignore=FILES.dockerignore + "\n".join(lines) + "\n")


IMAGE_FAULTS: list[tuple[str, ImageFiles, str]] = [
    ("bases", docker("python:3.12.14-slim-bookworm@sha256:", "python:3.12-slim@sha256:"), "not a slim Python"),
    ("bases", docker("@sha256:", "-"), "not a slim Python"),
    ("bases", docker("python:3.12.14", "python:3.13.1"), "not a slim Python"),
    ("bases", replace(FILES, dockerfile=FILES.dockerfile.rpartition("\nFROM ")[0]), "stage that it runs from"),
    ("user", docker("USER 10001:10001\n", ""), "ends as root"),
    ("user", docker("USER 10001:10001\n", "USER 10001:10001\nUSER 0:0\n"), "ends as root"),
    ("user", docker("USER 10001:10001", "USER root"), "ends as root"),
    ("sources", docker("COPY steps steps", "COPY stairs stairs"), "stairs is copied and is not there"),
    ("sources", ignoring("workers"), "workers is copied and ignored"),
    ("sources", docker("COPY config config", "ADD config config"), "ADD"),
    ("stage_names", docker("--from=build", "--from=builder"), "builder is no earlier stage"),
    ("packages", docker("COPY workers workers\n", ""), "workers is not copied"),
    ("packages", docker("README.md ", ""), "README.md is not copied"),
    ("packages", ignoring("**/*.lua"), ".lua is ignored"),
    ("packages", ignoring("config/*.toml"), "config/rules.toml is ignored"),
    ("left_out", ignoring("!.git"), ".git/config goes"),
    ("left_out", ignoring("!**/*.env"), "stepline.env goes"),
    ("left_out", replace(FILES, dockerignore=FILES.dockerignore.replace("*\n!py", "!py")), "tests/conftest.py goes"),
    ("installing", docker("--require-hashes ", ""), "with its hashes"),
    ("installing", docker("--only-binary :all: ", ""), "from wheels alone"),
    ("installing", docker("--no-deps ", ""), "something but the lock"),
    ("installing", docker("--yes setuptools", "--yes"), "setuptools stays"),
    ("final_stage", docker("WORKDIR /app", "RUN apt-get install gcc"), "the final stage builds"),
    ("final_stage", docker("WORKDIR /app", "RUN pip install x"), "the final stage builds"),
    ("final_stage", docker('"stepline", "--help"', '"sh"'), "does not run stepline"),
    ("names", docker("PIP_NO_CACHE_DIR=1", "PIP_INDEX_URL=https://mirror.invalid"), "names a host"),
    ("names", docker("PYTHONUNBUFFERED=1", "STEPLINE_FLOWER_BASIC_AUTH=a:b"), "holds a secret"),
]


@pytest.mark.parametrize("name", compose_checks.CHECKS)
def test_the_compose_file_holds(name: str) -> None:
    assert list(compose_checks.CHECKS[name](load_compose())) == []


@pytest.mark.parametrize(("name", "edit", "found"), FAULTS, ids=[f"{name}-{n}" for n, (name, *_) in enumerate(FAULTS)])
def test_a_fault_in_the_compose_file_is_named(name: str, edit: Edit, found: str) -> None:
    compose = load_compose()
    edit(compose)
    assert found in "\n".join(compose_checks.CHECKS[name](compose))


@pytest.mark.parametrize("name", dockerfiles.CHECKS)
def test_the_image_files_hold(name: str) -> None:
    assert list(dockerfiles.CHECKS[name](FILES)) == []


@pytest.mark.parametrize(
    ("name", "files", "found"), IMAGE_FAULTS, ids=[f"{name}-{n}" for n, (name, *_) in enumerate(IMAGE_FAULTS)]
)
def test_a_fault_in_the_image_files_is_named(name: str, files: ImageFiles, found: str) -> None:
    assert found in "\n".join(dockerfiles.CHECKS[name](files))


def test_every_check_is_shown_a_fault() -> None:
    assert {name for name, *_ in FAULTS} == set(compose_checks.CHECKS)
    assert {name for name, *_ in IMAGE_FAULTS} == set(dockerfiles.CHECKS)


def test_compose_and_dockerfile_name_the_same_user() -> None:
    user = FILES.stages()[-1].last("USER")
    assert user is not None
    assert {service["user"] for service in compose_checks.ours(load_compose()).values()} == {user.text}


def test_the_examples_that_run_by_default_are_found_from_the_working_folder() -> None:
    final = FILES.stages()[-1]
    folder = final.last("WORKDIR")
    assert folder is not None
    assert ["examples", f"{folder.text}/examples"] in [one.words() for one in final.instructions if one.name == "COPY"]


def test_without_a_password_for_flower_nothing_starts() -> None:
    with pytest.raises(LookupError, match="STEPLINE_FLOWER_BASIC_AUTH: set it to NAME:PASSWORD"):
        filled_in(load_compose()["services"], {})


def test_no_line_is_too_long_to_read() -> None:
    lines = [*COMPOSE_FILE.read_text().splitlines(), *(ROOT / "Dockerfile").read_text().splitlines()]
    assert [line for line in lines if len(line) > 120] == []


# What the checks stand on ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("a", "a"),
        ("$$A", "$A"),
        ("${A:-b}/${B:-}", "b/"),
        ("${C:-b}", "given"),
        ("${C:?why}", "given"),
        ("${A}", ""),
        (["${C:?why}", 1, {"k": "$${C}"}], ["given", 1, {"k": "${C}"}]),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: Any, filled: Any) -> None:
    assert filled_in(text, {"C": "given"}) == filled


def test_a_form_of_variable_that_is_not_known_here_is_refused() -> None:
    with pytest.raises(AssertionError, match="newer Composes"):
        filled_in("${A:+b}", {})


def test_the_variables_of_a_text_come_with_their_defaults() -> None:
    assert variables_of("${A:-b} $$C ${D} ${E:?f}") == [("A", "b"), ("D", ""), ("E", "")]


def test_durations_and_sizes_are_read() -> None:
    assert (seconds("30s"), seconds("2m"), megabytes("512mb"), megabytes("1G"), megabytes("256M")) == (
        *(30.0, 120.0),
        *(512, 1024, 256),
    )


def test_a_dockerfile_is_read_with_its_continued_lines() -> None:
    text = "# first\nFROM a:1 AS b\nRUN x \\\n    # why\n    && y\nFROM b\ncopy --from=b --chmod=1 /x /y ./\n"
    first, second = stages_of(instructions_of(text))
    assert (first.base, first.name, second.base, second.name) == ("a:1", "b", "b", "")
    assert first.instructions == (Instruction("RUN", "x  && y"),)
    (copy,) = second.instructions
    assert (copy.name, copy.words(), copy.flag("from"), copy.flag("chown")) == ("COPY", ["/x", "/y", "./"], "b", None)


@pytest.mark.parametrize(
    ("path", "rules", "ignored"),
    [
        ("a/b.py", "*", True),
        ("a/b.py", "*\n!a", False),
        ("a/b.pyc", "*\n!a\n**/*.py[cod]", True),
        ("b.pyc", "**/*.py[cod]", True),
        ("a/b.py", "*.py", False),
        ("a/b.py", "a/*.py", True),
        ("a/c/b.py", "a/*.py", False),
        ("a/c/b.py", "a\n!a/c", False),
        ("a.b", "a?b", True),
        ("axb", "a.b", False),
        ("a", "# a\n\n", False),
    ],
)
def test_what_is_ignored_is_told_as_docker_tells_it(path: str, rules: str, ignored: bool) -> None:
    assert is_ignored(path, rules) is ignored
