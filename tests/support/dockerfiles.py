"""A Dockerfile as instructions, a .dockerignore as rules, and what must hold of both."""

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.processes import ROOT

PINNED_PYTHON = re.compile(r"python:3\.12\.\d+-slim(-\w+)?@sha256:[0-9a-f]{64}")
USER = re.compile(r"[1-9]\d*:[1-9]\d*")
BUILDING = re.compile(r"\b(pip|apt|apt-get|gcc|make|curl|wget|uv)\b")
HOST_NAME = re.compile(r"https?://|\b[\w-]+\.(com|org|io|net|dev)\b")

LEFT_OUT = (
    *(".git/config", ".venv/bin/python", "tests/conftest.py", "reports/x", "docs/cli.md"),
    *(".env", "stepline.env", "steps/.env", "steps/__pycache__/x.pyc", "examples/x.pyc"),
)
"""Paths that the builder must not be sent: what is large, private or made by a machine."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, continued lines joined."""

    name: str
    text: str

    def words(self) -> list[str]:
        """Return its words without flags such as ``--from``."""
        return [word for word in self.text.split() if not word.startswith("--")]

    def flag(self, name: str) -> str | None:
        """Return the value of ``--name=value``."""
        return next((word.partition("=")[2] for word in self.text.split() if word.startswith(f"--{name}=")), None)


@dataclass(frozen=True, slots=True)
class Stage:
    """What follows one FROM."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def last(self, name: str) -> Instruction | None:
        return next((one for one in reversed(self.instructions) if one.name == name), None)


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """The texts that make the image."""

    dockerfile: str
    dockerignore: str

    @classmethod
    def load(cls) -> "ImageFiles":
        return cls(
            (ROOT / "Dockerfile").read_text(encoding="utf-8"), (ROOT / ".dockerignore").read_text(encoding="utf-8")
        )

    def stages(self) -> list[Stage]:
        return stages_of(instructions_of(self.dockerfile))

    def copied(self) -> list[str]:
        """Return what the stages copy from the repository."""
        copies = [one for stage in self.stages() for one in stage.instructions if one.name in ("COPY", "ADD")]
        return [source for one in copies if one.flag("from") is None for source in one.words()[:-1]]


def instructions_of(text: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile; heredocs and escapes other than the line's end are not known."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    parted = [line.strip().partition(" ") for line in joined.splitlines() if line.strip()]
    return [Instruction(name.upper(), rest.strip()) for name, _, rest in parted]


def stages_of(instructions: Sequence[Instruction]) -> list[Stage]:
    starts = [at for at, one in enumerate(instructions) if one.name == "FROM"]
    stages = []
    for start, end in zip(starts, [*starts[1:], len(instructions)], strict=True):
        base, *rest = instructions[start].words()
        name = rest[1] if len(rest) == 2 and rest[0].upper() == "AS" else ""
        stages.append(Stage(base, name, tuple(instructions[start + 1 : end])))
    return stages


def is_ignored(path: str, dockerignore: str) -> bool:
    """Whether a path of the repository is kept out of the build: the last rule that finds it or a parent decides."""
    parts = path.split("/")
    heads = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    rules = [line.strip() for line in dockerignore.splitlines() if line.strip() and not line.startswith("#")]
    ignored = False
    for rule in rules:
        pattern = _pattern(rule.removeprefix("!").strip("/"))
        if any(pattern.fullmatch(head) for head in heads):
            ignored = not rule.startswith("!")
    return ignored


def _pattern(rule: str) -> re.Pattern[str]:
    translated = re.sub(
        r"\*\*/|\*\*|\*|\?|\[[^]]*\]|.",
        lambda found: {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(
            found[0], found[0] if len(found[0]) > 1 else re.escape(found[0])
        ),
        rule,
    )
    return re.compile(translated)


# What must hold, each check a function of the texts that returns what is wrong.

CHECKS: dict[str, Callable[[ImageFiles], Iterator[str]]] = {}


def check(function: Callable[[ImageFiles], Iterator[str]]) -> Callable[[ImageFiles], Iterator[str]]:
    CHECKS[function.__name__] = function
    return function


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@check
def bases(files: ImageFiles) -> Iterator[str]:
    if len(files.stages()) < 2:
        yield "the image is built in the stage that it runs from"
    for stage in files.stages():
        if not PINNED_PYTHON.fullmatch(stage.base):
            yield f"the base {stage.base} is not a slim Python 3.12 pinned by version and digest"


@check
def user(files: ImageFiles) -> Iterator[str]:
    last = files.stages()[-1].last("USER")
    if last is None or not USER.fullmatch(last.text):
        yield "the image ends as root"


@check
def sources(files: ImageFiles) -> Iterator[str]:
    for source in files.copied():
        if not (ROOT / source).exists():
            yield f"{source} is copied and is not there"
        elif is_ignored(source, files.dockerignore):
            yield f"{source} is copied and ignored"
    if any(one.name == "ADD" for stage in files.stages() for one in stage.instructions):
        yield "ADD fetches and unpacks; COPY does what is meant"


@check
def stage_names(files: ImageFiles) -> Iterator[str]:
    earlier: list[str] = []
    for stage in files.stages():
        copies = [one.flag("from") for one in stage.instructions if one.name == "COPY" and one.flag("from")]
        yield from (f"{name} is no earlier stage" for name in copies if name not in earlier)
        earlier.append(stage.name)


@check
def packages(files: ImageFiles) -> Iterator[str]:
    facts = project()
    needed = {package.partition(".")[0] for package in facts["tool"]["setuptools"]["packages"]}
    needed |= {"pyproject.toml", facts["project"]["readme"], *facts["project"]["license-files"], "requirements.lock"}
    yield from (f"{name} is not copied" for name in sorted(needed - set(files.copied())))
    for package in facts["tool"]["setuptools"]["packages"]:
        for path in sorted((ROOT / package.replace(".", "/")).iterdir()):
            shipped = path.suffix in {".py", ".lua", ".toml", ".typed"} or path.name == "py.typed"
            if shipped and is_ignored(str(path.relative_to(ROOT)), files.dockerignore):
                yield f"{path.relative_to(ROOT)} is ignored"


@check
def left_out(files: ImageFiles) -> Iterator[str]:
    for path in LEFT_OUT:
        if not is_ignored(path, files.dockerignore):
            yield f"{path} goes to the builder"


@check
def installing(files: ImageFiles) -> Iterator[str]:
    calls = [call.strip() for stage in files.stages() for one in stage.instructions if one.name == "RUN"
             for call in one.text.split("&&")]  # fmt: skip
    installs = [call.split() for call in calls if call.startswith("pip ") and " install " in f" {call} "]
    locked = [words for words in installs if "requirements.lock" in words]
    if not locked or not all("--require-hashes" in words and "--only-binary" in words for words in locked):
        yield "the lock is not installed with its hashes, from wheels alone"
    own = [words for words in installs if words not in locked]
    if not own or not all(
        "--no-deps" in words and "--no-build-isolation" in words and words[-1] == "." for words in own
    ):
        yield "something but the lock and the project is installed"
    if not any(" uninstall " in call and "setuptools" in call.split() for call in calls):
        yield "setuptools stays in the image"


@check
def final_stage(files: ImageFiles) -> Iterator[str]:
    final = files.stages()[-1]
    for one in final.instructions:
        if one.name == "RUN" and BUILDING.search(one.text):
            yield f"the final stage builds: {one.text}"
    command = final.last("CMD")
    words = re.findall(r'"([^"]*)"', command.text) if command else []
    if words[:1] != ["stepline"]:
        yield "the image does not run stepline"


@check
def names(files: ImageFiles) -> Iterator[str]:
    for stage in files.stages():
        for one in stage.instructions:
            if HOST_NAME.search(one.text):
                yield f"{one.name} names a host: {one.text}"
            if one.name in ("ENV", "ARG") and re.search(r"pass|secret|token|auth", one.text, re.IGNORECASE):
                yield f"{one.name} holds a secret: {one.text}"
