"""What ``stepline run`` makes of its arguments: a batch from names and params, or from a file."""

import json
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from producer.cli.arguments import parse
from producer.cli.failures import UsageError
from producer.cli.request import plan_here, read_request
from producer.planning.batch import Batch
from steps import StepRegistry, step
from steps.errors import InvalidBatch


def test_names_make_a_batch_in_their_order() -> None:
    batch = _read("A", "B", "A")
    assert [call.name for call in batch.calls] == ["A", "B", "A"]
    assert [call.id for call in batch.calls] == ["A", "B", "A_2"]


def test_options_become_those_of_the_batch() -> None:
    batch = _read(
        *("A", "--context", '{"k": 1}', "--deadline", "2", "--mode", "sequential"),
        *("--order", "overlap", "--strategy", "simple", "--lane", "l"),
    )
    assert (batch.context, batch.deadline_s, batch.mode) == ({"k": 1}, 2.0, "sequential")
    assert (batch.order, batch.strategy, batch.lane) == ("overlap", "simple", "l")


def test_params_go_to_the_step_they_name() -> None:
    batch = _read("A", "B", "--params", 'B={"path": "."}')
    assert [call.params for call in batch.calls] == [{}, {"path": "."}]


def test_params_without_a_name_go_to_the_only_step() -> None:
    assert _read("A", "--params", '{"path": "."}').calls[0].params == {"path": "."}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["A", "B", "--params", "{}"], "goes with one step only"),
        (["A", "--params", "B={}"], "'B', which is not among"),
        (["A", "--params", "{}", "--params", "A={}"], "given twice"),
        (["a.yaml", "B"], "give one batch file or names"),
        (["a.yaml", "--params", "{}"], "params stand with each step"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _read(*arguments)


def test_a_file_is_read_and_options_replace_what_it_says(tmp_path: Path) -> None:
    file = _file(tmp_path / "batch.json", {"steps": ["A"], "deadline": 5, "order": "overlap"})
    batch = _read(str(file), "--deadline", "7")
    assert (batch.deadline_s, batch.order) == (7.0, "overlap")


def test_a_path_without_a_suffix_is_a_file(tmp_path: Path) -> None:
    assert len(_read(str(_file(tmp_path / "batch", {"steps": ["A", "B"]}))).calls) == 2


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidBatch, match=r"missing\.yaml"):
        _read("missing.yaml")


def test_not_a_number_in_the_context_is_a_problem_of_the_batch() -> None:
    (problem,) = _read("A", "--context", '{"x": NaN}').problems
    assert problem.path == "context.x"


def test_what_no_site_from_here_could_run_is_refused_all_at_once() -> None:
    batch = _read("GetKnownStep", "GetKnowStep", "--deadline", "99999999")
    with StepRegistry().isolated():
        step(name="GetKnownStep")(_takes_a_path)
        with pytest.raises(InvalidBatch) as refused:
            plan_here(batch, Settings())
    assert {problem.path for problem in refused.value.problems} == {
        "steps[0].params.path",
        "steps[1]",
        "deadline",
    }


def test_what_can_run_is_let_through() -> None:
    with StepRegistry().isolated():
        step(name="GetKnownStep")(_takes_a_path)
        plan_here(_read("GetKnownStep", "--params", '{"path": "."}'), Settings())


def _takes_a_path(path: str) -> str:
    return path


def _read(*arguments: str) -> Batch:
    return read_request(parse(["run", *arguments]), Settings())


def _file(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(json.dumps(document))
    return path
