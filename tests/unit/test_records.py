"""Calls, settlements and outcomes: what is written down is what is read back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.backoff import BACKOFF_KINDS, Backoff
from steps.call import StepCall
from steps.outcome import STATUSES, Outcome, OutcomeError, Settlement

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(TEXTS, SCALARS, max_size=3)
SECONDS = st.floats(0, 1e6)
BACKOFFS = st.builds(Backoff, st.sampled_from(BACKOFF_KINDS), SECONDS, SECONDS, st.booleans())
CALLS = st.builds(
    StepCall,
    id=st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True),
    name=TEXTS,
    params=st.dictionaries(TEXTS, SCALARS, max_size=3),
    timeout_s=SECONDS,
    retries=st.integers(0, 100),
    backoff=BACKOFFS,
)
ERRORS = st.builds(OutcomeError, TEXTS, TEXTS, st.dictionaries(TEXTS, SCALARS, max_size=2))
SETTLEMENTS = st.builds(
    Settlement,
    status=st.sampled_from(STATUSES),
    value=VALUES,
    error=st.none() | ERRORS,
    attempts=st.integers(0, 100),
    queued_ms=st.none() | SECONDS,
    ran_ms=st.none() | SECONDS,
    worker=st.none() | TEXTS,
    started_ms=st.none() | SECONDS,
)


@given(CALLS)
def test_a_call_is_read_as_it_was_written(call: StepCall) -> None:
    assert StepCall.decode(call.encode()) == call
    params_json = json.dumps(call.params) if call.params else ""
    assert StepCall.decode(call.encode(params_json)) == call


@given(CALLS)
def test_a_call_opens_with_its_id_as_the_scripts_expect(call: StepCall) -> None:
    assert call.encode().startswith(f'{{"id":"{call.id}",')


def test_a_call_of_a_later_version_is_read_without_what_is_not_known() -> None:
    record = json.loads(StepCall("a", "A").encode())
    record["needs"] = ["b"]
    record["backoff"].append("later")
    assert StepCall.decode(json.dumps(record)) == StepCall("a", "A")


@given(SETTLEMENTS)
def test_a_settlement_is_read_as_it_was_written(settlement: Settlement) -> None:
    assert Settlement.decode(settlement.encode()) == settlement


def test_a_settlement_of_a_script_or_a_later_version_is_read() -> None:
    text = '{"status":"skipped","error":{"type":"Skipped","message":"why"},"more":1}'
    assert Settlement.decode(text) == Settlement(status="skipped", error=OutcomeError("Skipped", "why"))


def test_a_plain_settlement_is_short() -> None:
    assert Settlement(status="succeeded").encode() == '{"status":"succeeded"}'


def make_outcome(status: str) -> Outcome:
    return Outcome(
        id="a",
        name="A",
        status=status,  # type: ignore[arg-type]
        error=None if status == "succeeded" else OutcomeError("ValueError", "no", {"line": 1}),
        critical=True,
        reason="it says so",
        rule="call",
        queue="critical",
        lane="global",
    )


@pytest.mark.parametrize("status", STATUSES)
def test_only_a_succeeded_step_is_ok(status: str) -> None:
    assert make_outcome(status).ok == (status == "succeeded")


def test_an_outcome_prints_the_keys_of_the_command_line_in_their_order() -> None:
    assert list(make_outcome("failed").as_dict()) == [
        "id", "name", "status", "critical", "reason", "rule", "queue", "lane", "worker", "attempts",
        "queued_ms", "ran_ms", "value", "error",
    ]  # fmt: skip


def test_an_error_prints_type_message_and_details() -> None:
    assert make_outcome("failed").as_dict()["error"] == {
        "type": "ValueError",
        "message": "no",
        "details": {"line": 1},
    }
    assert make_outcome("succeeded").as_dict()["error"] is None
