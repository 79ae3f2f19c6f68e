"""Batch files: YAML and JSON read strictly, each problem with its path."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Settings
from producer.planning.batch import Batch
from producer.planning.batch_file import parse_document, read_batch_file
from steps.errors import InvalidBatch
from tests.support.plans import SETTINGS

YAML = """\
steps:
  - GetChatHistoryStep
  - name: GitGetStatusStep
    params: {path: .}
    timeout: 5
context:
  session_id: "42"
deadline: 2.5
order: overlap
strategy: simple
mode: hybrid
max_concurrency: 3
lane: global
then: GetStep
name: view 42
priority: high
after: [0190f0-a, 0190f0-b]
"""

JSON = """\
{"steps": ["GetChatHistoryStep", {"name": "GitGetStatusStep", "params": {"path": "."}, "timeout": 5}],
 "context": {"session_id": "42"}, "deadline": 2.5, "order": "overlap", "strategy": "simple", "mode": "hybrid",
 "max_concurrency": 3, "lane": "global", "then": "GetStep",
 "name": "view 42", "priority": "high", "after": ["0190f0-a", "0190f0-b"]}
"""


def written(tmp_path: Path, text: str | bytes, name: str = "batch.yaml") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(tmp_path: Path, text: str | bytes, name: str = "batch.yaml", **overrides: Any) -> Batch:
    return read_batch_file(written(tmp_path, text, name), settings=SETTINGS, **overrides)


def found(tmp_path: Path, text: str, name: str = "batch.yaml") -> dict[str, str]:
    return {problem.path: problem.message for problem in read(tmp_path, text, name).problems}


def refusal(tmp_path: Path, text: str | bytes, name: str = "batch.yaml") -> str:
    """Return why a file is refused as a whole, which begins with its path."""
    with pytest.raises(InvalidBatch) as caught:
        read(tmp_path, text, name)
    (problem,) = caught.value.problems
    assert problem.path == str(tmp_path / name)
    return problem.message


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (YAML, "batch.yaml"),
        (YAML, "batch.YML"),
        (YAML, "batch"),
        (JSON, "batch.json"),
        (JSON, "batch.yaml"),
        (JSON, "batch.txt"),
        ("\ufeff" + JSON, "batch.json"),
        ("\ufeff" + YAML, "batch.yaml"),
    ],
)
def test_the_same_batch_is_read_from_yaml_and_json(tmp_path: Path, text: str, name: str) -> None:
    batch = read(tmp_path, text, name)
    assert batch.problems == ()
    assert [call.id for call in batch.calls] == ["GetChatHistoryStep", "GitGetStatusStep"]
    assert batch.calls[1].params == {"path": "."}
    assert batch.calls[1].timeout_s == 5
    assert (batch.context, batch.deadline_s, batch.order) == ({"session_id": "42"}, 2.5, "overlap")
    assert (batch.strategy, batch.mode, batch.max_concurrency, batch.lane) == (
        "simple",
        "hybrid",
        3,
        "global",
    )
    assert batch.then is not None
    assert batch.then.name == "GetStep"
    assert (batch.name, batch.priority, batch.after) == ("view 42", "high", ("0190f0-a", "0190f0-b"))


def test_what_is_given_beside_the_file_replaces_what_it_says(tmp_path: Path) -> None:
    batch = read(tmp_path, YAML, deadline=9, order=None, context={"a": 1})
    assert (batch.deadline_s, batch.order, batch.context) == (9, "overlap", {"a": 1})


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        ("steps: [A", "batch.yaml", "is not YAML: "),
        ("steps:\n\t- A", "batch.yaml", "in line 2"),
        ("steps: [A]\n  x: 1", "batch.yaml", "is not YAML: "),
        ("steps: \x07", "batch.yaml", "is not YAML: "),
        ("{'steps': []}", "batch.json", "is not JSON: Expecting property name"),
        ('{"steps": [}', "batch.json", "in line 1, column 12"),
        ("", "batch.json", "is not JSON"),
        ("", "batch.yaml", "must hold an object with `steps`, not None"),
        ("[A, B]", "batch.yaml", "must hold an object with `steps`, not a value of type list"),
        ("GetStep", "batch.txt", "must hold an object with `steps`, not 'GetStep'"),
        ("[" * 100_000, "batch.json", "is nested too deep"),
        ("[" * 100_000, "batch.yaml", "is nested too deep in line 1"),
        ("[" * 100_000, "batch", "is nested too deep in line 1"),
        ("1" * 5_000, "batch.json", "an integer of too many digits"),
        (b"steps: [\xff]", "batch.yaml", "is not UTF-8 at byte 8"),
    ],
)
def test_a_file_that_is_no_batch_is_refused_with_its_place(
    tmp_path: Path, text: str | bytes, name: str, reason: str
) -> None:
    assert reason in refusal(tmp_path, text, name)


def test_a_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(InvalidBatch, match="can't be read: No such file"):
        read_batch_file(tmp_path / "none.yaml", settings=SETTINGS)
    with pytest.raises(InvalidBatch, match="can't be read: Is a directory"):
        read_batch_file(tmp_path, settings=SETTINGS)


def test_a_file_larger_than_a_run_may_be_is_refused_unread(tmp_path: Path) -> None:
    path = written(tmp_path, YAML)
    with pytest.raises(InvalidBatch, match="is larger than the 10 bytes allowed"):
        read_batch_file(path, settings=Settings(max_run_bytes=10, max_params_bytes=10, max_value_bytes=10))


def test_unknown_keys_are_refused_at_the_top_and_in_a_call(tmp_path: Path) -> None:
    problems = read(tmp_path, "steps: [{name: A, timout: 3}]\ncontxt: {}").problems
    assert [str(problem) for problem in problems] == [
        "has an unknown key 'contxt'; did you mean context?",
        "steps[0]: has an unknown key 'timout'; did you mean timeout?",
    ]


@pytest.mark.parametrize("name", ["batch.json", "batch"])
def test_keys_that_stand_twice_in_json_are_refused_with_their_path(tmp_path: Path, name: str) -> None:
    text = '{"steps": [{"name": "A"}], "steps": [{"name": "B"}]}'
    assert found(tmp_path, text, name) == {"steps": "is given twice"}
    text = '{"steps": [{"name": "A", "params": {"x": {"y": 1, "z": 1, "y": 2}}, "name": "B"}]}'
    assert found(tmp_path, text, name) == {
        "steps[0].name": "is given twice",
        "steps[0].params.x.y": "is given twice",
    }


def test_keys_that_stand_twice_in_yaml_are_refused_with_path_and_line(tmp_path: Path) -> None:
    text = "steps:\n- name: A\n  params:\n    x: 1\n    y: 2\n    x: 3\n  name: B\n"
    assert found(tmp_path, text) == {
        "steps[0].params.x": "is given twice (line 6)",
        "steps[0].name": "is given twice (line 7)",
    }


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        (
            "2024-01-01",
            "steps[0].params.x",
            "is of type date, which JSON can't hold; use a string in ISO format",
        ),
        ("2024-01-01 10:00:00", "steps[0].params.x", "is of type datetime"),
        ("2024-13-01", "steps[0].params.x", "is '2024-13-01', which is no value of JSON"),
        (".nan", "steps[0].params.x", "is nan"),
        (".inf", "steps[0].params.x", "is inf"),
        ("!!binary aGk=", "steps[0].params.x", "is of type bytes"),
        ("!!set {a, b}", "steps[0].params.x", "has the tag tag:yaml.org,2002:set"),
        ("!!python/name:os.system x", "steps[0].params.x", "is 'x', which is no value of JSON"),
        ("!!python/object/apply:os.system [x]", "steps[0].params.x", "has the tag"),
        ("!mine {a: 1}", "steps[0].params.x", "has the tag !mine"),
        ("*anchor", "steps[0].params.x", "is the alias *anchor; write the value out (line 1)"),
        ("{1: a}", "steps[0].params.x", "has the key 1, read as int; quote it (line 1)"),
        ("{on: a}", "steps[0].params.x", "has the key on, read as bool; quote it"),
        ("{null: a}", "steps[0].params.x", "has the key null, read as NoneType; quote it"),
        ("{? [a] : b}", "steps[0].params.x", "has a key that is not a string"),
        ("{? {a: 1} : b}", "steps[0].params.x", "has a key that is not a string"),
        ("{<<: {a: 1}}", "steps[0].params.x", "is '<<', which is no value of JSON"),
        ("9" * 5_000, "steps[0].params.x", "which is no value of JSON"),
    ],
)
def test_what_yaml_has_beyond_json_is_refused_with_its_path(tmp_path: Path, value: str, path: str, reason: str) -> None:
    problems = found(tmp_path, f"steps: [{{name: A, params: {{x: {value}}}}}]")
    assert list(problems) == [path]
    assert reason in problems[path]


def test_aliases_that_unfold_into_gigabytes_are_refused_and_not_unfolded(tmp_path: Path) -> None:
    lines = ["a0: &a0 [lol]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 30)]
    text = "steps: []\ncontext:\n  " + "\n  ".join(lines)
    problems = found(tmp_path, text)
    assert problems["context.a1[0]"] == "is the alias *a0; write the value out (line 4)"
    assert len(problems) == 29 * 9


def test_an_anchor_alone_does_no_harm(tmp_path: Path) -> None:
    assert found(tmp_path, "steps: [&a A]") == {}


def test_a_second_document_is_refused(tmp_path: Path) -> None:
    (problem,) = read(tmp_path, "steps: [A]\n---\nsteps: [B]").problems
    assert problem.message == "holds a second document; give one (line 2)"


def test_plain_values_of_yaml_are_read_as_those_of_json(tmp_path: Path) -> None:
    text = 'steps: [{name: A, params: {a: 1, b: 1.5, c: true, d: ~, e: "1", f: [x], g: !!str 7, h: ! 8}}]'
    (call,) = read(tmp_path, text).calls
    assert call.params == {"a": 1, "b": 1.5, "c": True, "d": None, "e": "1", "f": ["x"], "g": "7", "h": "8"}


def test_params_may_be_nested_as_deep_in_a_file_as_anywhere(tmp_path: Path) -> None:
    deepest = "{x: " * 31 + "{}" + "}" * 31
    assert found(tmp_path, f"steps: [{{name: A, params: {deepest}}}]") == {}
    deeper = "{x: " * 32 + "{}" + "}" * 32
    assert "nested too deep" in refusal(tmp_path, f"steps: [{{name: A, params: {deeper}}}]")
    as_json = deeper.replace("x", '"x"')
    problems = found(tmp_path, f'{{"steps": [{{"name": "A", "params": {as_json}}}]}}', "batch.json")
    assert list(problems) == ["steps[0].params" + ".x" * 32]


@pytest.mark.parametrize("suffix", [".json", ".yaml", ""])
@given(text=st.text() | st.text(alphabet="[]{}:,-&*!|>'\"#%@?~ \nab01"))
def test_no_text_crashes_the_reader(suffix: str, text: str) -> None:
    with contextlib.suppress(InvalidBatch):
        document = parse_document(text, source="batch", suffix=suffix, settings=SETTINGS)
        assert isinstance(document.content, dict)
