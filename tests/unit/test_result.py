"""What a caller gets back."""

import json

import pytest

from producer.result import Result, result_of
from steps.outcome import OutcomeError, Settlement, Status
from tests.support.plans import plan

WRONG = OutcomeError("ValueError", "no", {"traceback": "..."})


def result(*statuses: Status) -> Result:
    made = plan(["GetStep"] * len(statuses))
    settlements = [Settlement(status=status, error=None if status == "succeeded" else WRONG) for status in statuses]
    meta = made.meta()
    return result_of(meta, run_id="r", outcomes=meta.outcomes(settlements), total_ms=1.5)


def test_a_result_without_steps_is_ok() -> None:
    assert result().ok
    assert result().as_dict() == {
        "run_id": "r",
        "ok": True,
        "mode": "parallel",
        "total_ms": 1.5,
        "outcomes": [],
    }


@pytest.mark.parametrize("status", ["failed", "timed_out", "cancelled", "skipped", "lost"])
def test_a_result_is_ok_only_if_every_step_succeeded(status: Status) -> None:
    assert result("succeeded", "succeeded").ok
    assert not result("succeeded", status).ok


def test_steps_that_went_wrong_are_told_from_those_that_never_got_to_run() -> None:
    made = result("succeeded", "failed", "skipped", "timed_out", "cancelled", "lost", "succeeded")
    assert [outcome.id for outcome in made.succeeded] == ["GetStep", "GetStep_7"]
    assert [outcome.status for outcome in made.failed] == ["failed", "timed_out", "lost"]


def test_outcomes_are_found_by_id_and_by_name() -> None:
    made = result("succeeded", "failed")
    assert made["GetStep_2"].status == "failed"
    assert [outcome.id for outcome in made.all("GetStep")] == ["GetStep", "GetStep_2"]
    assert made.all("Nope") == []
    with pytest.raises(KeyError):
        made["Nope"]


def test_the_classification_is_there_from_any_process() -> None:
    made = plan(["GetStep", "CreateStep"])
    settled = [Settlement(status="succeeded")] * 2
    found = result_of(made.meta(), run_id="r", outcomes=made.meta().outcomes(settled), total_ms=1.0)
    assert found.classification == made.classification
    assert found.classification.parallelisation_ratio == 0.5
    assert found.mode == "hybrid"
    assert found.fallback is None


def test_the_document_of_the_command_line_is_json_in_input_order() -> None:
    document = json.loads(json.dumps(result("failed", "succeeded").as_dict()))
    assert list(document) == ["run_id", "ok", "mode", "total_ms", "outcomes"]
    assert [outcome["id"] for outcome in document["outcomes"]] == ["GetStep", "GetStep_2"]
    assert document["outcomes"][0]["error"]["message"] == "no"
