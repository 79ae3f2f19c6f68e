"""What the command prints is what docs/cli.md promises: its schemas, its exit codes, its options."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from referencing import Registry, Resource

from producer.cli import arguments, failures, main
from producer.cli.failures import RunInterrupted, error_document
from producer.cli.step_list import entry
from producer.result import Result
from steps import StepRegistry, step
from steps.classifier import StepClassifier
from steps.errors import GatherTimeout, InvalidBatch, Problem
from steps.outcome import STATUSES, Outcome, OutcomeError

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text()
_SCHEMA = re.compile(r"^```json schema=(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCHEMAS = {name: json.loads(text) for name, text in _SCHEMA.findall(DOCUMENT)}
NAMED = [(schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values() if "$id" in schema]
"""Schemas that others refer to."""


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])


def test_a_result_with_every_outcome_is_as_promised() -> None:
    outcomes = [_outcome(f"s{number}", status) for number, status in enumerate(STATUSES)]
    classification = StepClassifier().classify_steps([outcome.name for outcome in outcomes])
    result = Result(run_id="r", mode="hybrid", total_ms=1.5, outcomes=tuple(outcomes), classification=classification)
    check("run", json.loads(json.dumps(result.as_dict())))


def test_the_keys_of_an_outcome_come_in_the_promised_order() -> None:
    promised = SCHEMAS["run"]["properties"]["outcomes"]["items"]["required"]
    assert list(_outcome("s", "failed").as_dict()) == promised


def test_an_explanation_is_as_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "GetStep", "Nonsense", "--context", '{"taskId": 1}', "--json"]) == 0
    check("explain", json.loads(capsys.readouterr().out))


def test_the_list_of_steps_is_as_promised() -> None:
    with StepRegistry().isolated() as registry:
        step(name="GetStep", timeout=5, retries=2, lane="x", critical=True)(_reads)
        step(name="OtherStep")(_reads)
        here = {definition.name: definition.facts() for definition in registry}
    entries = [entry("GetStep", here, {}), entry("OtherStep", {}, here)]
    check("steps", json.loads(json.dumps(entries)))


@pytest.mark.parametrize(
    "error",
    [
        InvalidBatch([Problem("steps[0]", "is wrong"), Problem("", "all of it is")]),
        GatherTimeout("r", 1.0, [], 3),
        RunInterrupted("r", cancelled=True),
        KeyboardInterrupt(),
        RuntimeError(),
    ],
)
def test_every_error_is_as_promised(error: BaseException) -> None:
    check("error", json.loads(json.dumps(error_document(error))))


def test_a_usage_error_is_as_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--json"]) == 2
    check("error", json.loads(capsys.readouterr().out))


def test_the_schemas_refuse_what_is_not_promised() -> None:
    with pytest.raises(ValidationError):
        check("explain", [{"name": "A", "critical": True, "reason": "r", "rule": "guess"}])
    with pytest.raises(ValidationError):
        check("run", {"run_id": "r", "ok": True, "mode": "hybrid", "total_ms": 1, "outcomes": [{}]})


def test_every_command_with_json_has_its_schema() -> None:
    _, commands = arguments._parsers()
    with_json = {name for name, command in commands.items() if "--json" in command._option_string_actions}
    assert with_json - set(SCHEMAS) == {"events"}  # Its schema is that of a line: event.


def test_every_exit_code_is_in_the_document() -> None:
    codes = {value for name, value in vars(failures).items() if name.isupper() and isinstance(value, int)}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", DOCUMENT, re.MULTILINE)} == codes | {0}


def test_every_command_and_option_is_in_the_document() -> None:
    _, commands = arguments._parsers()
    for name, command in commands.items():
        assert f"## `stepline {name}`" in DOCUMENT
        options = [option for action in command._actions for option in action.option_strings]
        assert not [option for option in options if option.startswith("--") and option not in DOCUMENT + "--help"]


def check(name: str, document: Any) -> None:
    registry: Registry[Any] = Registry().with_resources(NAMED)
    Draft202012Validator(SCHEMAS[name], registry=registry).validate(document)


def _reads(path: str, depth: int = 3) -> list[str]:
    return [path] * depth


def _outcome(step_id: str, status: Any) -> Outcome:
    ran = status in {"succeeded", "failed", "timed_out"}
    return Outcome(
        id=step_id,
        name="GetStep",
        status=status,
        value={"any": ["thing"]} if status == "succeeded" else None,
        error=None if status == "succeeded" else OutcomeError("ValueError", "no", {"traceback": "..."}),
        attempts=int(ran),
        queued_ms=0.5 if ran else None,
        ran_ms=1.5 if ran else None,
        worker="parallel-1" if ran else None,
        critical=False,
        reason="listed",
        rule="explicit",
        queue="parallel",
    )
