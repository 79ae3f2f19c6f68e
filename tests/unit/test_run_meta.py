"""What the ledger keeps of a plan: read back as it was, in any process."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.run_meta import RunMeta
from steps.outcome import OutcomeError, Settlement
from tests.support.plans import plan

CONTEXT = {"session_id": "ü", "deep": {"a": [1, None]}}
NAMES = st.lists(st.sampled_from(["GetStep", "PatientStep", "CreateStep", "CreateChatStep"]), max_size=8)


@given(NAMES, st.sampled_from([{}, {"then": "GetStep"}, {"mode": "sequential"}]), st.booleans())
def test_meta_is_read_as_it_was_written(names: list[str], options: dict[str, Any], empty: bool) -> None:
    context = {} if empty and "CreateChatStep" not in names else CONTEXT
    made = plan(names, context=context, **options)
    assert RunMeta.decode(made.meta_json()) == made.meta()
    assert made.meta().encode() == made.meta_json()


def test_meta_of_a_later_version_is_read_without_what_is_not_known() -> None:
    made = plan(["GetStep", "CreateStep"])
    record = json.loads(made.meta_json())
    record["later"] = 1
    record["kinds"] = [[*kind, "later"] for kind in record["kinds"]]
    assert RunMeta.decode(json.dumps(record)) == made.meta()


def test_meta_grows_by_little_more_than_the_id_a_step() -> None:
    small, large = (len(plan(["GetStep"] * count).meta_json()) for count in (100, 200))
    assert (large - small) / 100 < 30


def test_a_ledger_index_leads_to_its_step() -> None:
    meta = plan(["GetStep", "CreateStep"], then="PatientStep").meta()
    assert [meta.at(index).id for index in range(3)] == ["CreateStep", "GetStep", "PatientStep"]
    with pytest.raises(IndexError):
        meta.at(3)
    with pytest.raises(IndexError):
        plan(["GetStep"]).meta().at(1)


def test_outcomes_come_in_input_order_and_the_open_ones_are_left_out() -> None:
    meta = plan(["GetStep", "CreateStep", "PatientStep"]).meta()
    done = Settlement(status="succeeded", value=1, attempts=1, queued_ms=2.0, ran_ms=3.0, worker="w", started_ms=4.0)
    failed = Settlement(status="failed", error=OutcomeError("ValueError", "no"))
    outcomes = meta.outcomes([failed, None, done])
    assert [(outcome.id, outcome.status) for outcome in outcomes] == [
        ("CreateStep", "failed"),
        ("PatientStep", "succeeded"),
    ]
    assert outcomes[0].as_dict() | {"error": None} == {
        "id": "CreateStep", "name": "CreateStep", "status": "failed", "critical": True,
        "reason": "matches critical pattern 'Create.*Step$'", "rule": "pattern", "queue": "critical",
        "lane": "global", "worker": None, "attempts": 0, "queued_ms": None, "ran_ms": None, "value": None,
        "error": None,
    }  # fmt: skip
    assert (outcomes[1].value, outcomes[1].worker, outcomes[1].started_ms, outcomes[1].lane) == (
        1,
        "w",
        4.0,
        None,
    )


def test_as_many_settlements_are_needed_as_there_are_steps() -> None:
    with pytest.raises(ValueError, match="shorter"):
        plan(["GetStep", "CreateStep"]).meta().outcomes([None])
