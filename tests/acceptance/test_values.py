"""What goes in and comes out as it is, and what a step must not return or raise."""

from typing import Any

import pytest

from producer import Producer
from tests.support.latches import Journal

MIB = 1_048_576

LOOKS_LIKE_A_TYPE = {"__type__": "nope", "__value__": 1}
"""Kombu's own mark for types in JSON: in a message's body it would make the message vanish."""

BOTH_SIDES = pytest.mark.parametrize("name", ["GetEchoStep", "WriteEchoStep"])


@BOTH_SIDES
@pytest.mark.parametrize(
    "value",
    [
        LOOKS_LIKE_A_TYPE,
        [LOOKS_LIKE_A_TYPE, {"deeper": LOOKS_LIKE_A_TYPE}],
        {"": None, "ключ": "🙂\u2028\x00", "nested": [[[]], {}, [{}]]},
        [0, -1, 2**53 + 1, 1e-300, 1.0, 0.1 + 0.2, True, False, None, ""],
        "|\n\t\r:,;{}%s%d\\",
    ],
    ids=["a type", "types", "text", "numbers", "signs"],
)
def test_a_value_arrives_and_returns_as_it_is(producer: Producer, name: str, value: Any) -> None:
    from_params, from_context = producer.run(
        [{"name": name, "id": "params", "params": {"value": value}}, {"name": name, "id": "context"}],
        context={"value": value},
        timeout=20,
    ).outcomes
    for outcome in (from_params, from_context):
        assert outcome.status == "succeeded", outcome.error
        assert outcome.value == value
        assert repr(outcome.value) == repr(value)  # 1, 1.0 and True are equal and not the same.


def test_a_step_sees_the_context_and_the_results_before_it(producer: Producer) -> None:
    context = {"session_id": "42", "__type__": "nope", "__value__": [1]}
    result = producer.run(
        [
            {"name": "GetContextStep", "id": "seen"},
            {"name": "WriteEchoStep", "id": "written", "params": {"value": LOOKS_LIKE_A_TYPE}},
        ],
        context=context,
        strategy="simple",
        timeout=20,
    )
    assert result["seen"].value == {
        "context": context,
        "results": {"written": LOOKS_LIKE_A_TYPE, "step_1_result": LOOKS_LIKE_A_TYPE},
        "strategy": "simple",
    }


def test_a_step_may_be_a_class_with_an_instance_for_every_attempt(producer: Producer) -> None:
    result = producer.run(["GetReversedStep"] * 3, context={"value": [1, "two", None]}, timeout=20)
    assert [one.value for one in result.outcomes] == [[None, "two", 1]] * 3


@pytest.mark.parametrize("name", ["GetObjectStep", "WriteNotANumberStep", "GetBytesStep"])
def test_a_result_that_is_not_json_fails_that_step_alone(producer: Producer, name: str) -> None:
    result = producer.run([name, "GetEchoStep", "WriteEchoStep"], strategy="simple", timeout=20)
    assert [one.status for one in result.outcomes] == ["failed", "succeeded", "succeeded"]
    outcome = result[name]
    assert outcome.error is not None
    assert (outcome.error.type, outcome.attempts, outcome.value) == ("InvalidResult", 1, None)
    assert outcome.error.details["problems"][0]["path"].startswith("value")


@pytest.mark.parametrize("name", ["GetTextStep", "WriteTextStep"])
def test_a_result_that_is_too_large_fails_that_step_alone(producer: Producer, name: str) -> None:
    steps = [
        {"name": name, "id": "largest", "params": {"length": MIB - 2}},
        {"name": name, "id": "too_large", "params": {"length": MIB - 1}},
        {"name": "GetEchoStep", "params": {"value": "beside"}},
    ]
    result = producer.run(steps, strategy="simple", timeout=20)
    assert [one.status for one in result.outcomes] == ["succeeded", "failed", "succeeded"]
    assert len(result["largest"].value) == MIB - 2
    error = result["too_large"].error
    assert error is not None
    assert error.type == "InvalidResult"
    assert str(MIB) in error.message


@pytest.mark.parametrize("name", ["GetExitStep", "GetAwaitedExitStep", "WriteExitStep", "GetInterruptStep"])
def test_a_step_that_wants_to_end_its_process_fails_alone(producer: Producer, name: str) -> None:
    result = producer.run([name, "GetEchoStep", "WriteEchoStep"], strategy="simple", timeout=20)
    assert [one.status for one in result.outcomes] == ["failed", "succeeded", "succeeded"]
    outcome = result[name]
    assert outcome.error is not None
    assert outcome.error.type == ("KeyboardInterrupt" if name == "GetInterruptStep" else "SystemExit")
    assert outcome.attempts == 1


def test_100_results_of_64_kib_come_back_whole(producer: Producer) -> None:
    result = producer.run([{"name": "GetTextStep", "params": {"length": 65_536}}] * 100, timeout=30)
    assert result.ok
    assert {len(one.value) for one in result.outcomes} == {65_536}


@pytest.mark.parametrize("name", ["GetForkingStep", "WriteForkingStep"])
def test_a_process_that_a_step_forked_does_not_settle_it(producer: Producer, journal: Journal, name: str) -> None:
    call = {"name": name, "params": {"journal": journal.path}, "retries": 0, "timeout": 5}
    (outcome,) = producer.run([call], timeout=20).outcomes
    assert (outcome.status, outcome.value, outcome.attempts) == ("succeeded", "step", 1)
    (line,) = journal.lines()
    assert (line["what"], line["code"]) == ("forked", 0)


@pytest.mark.parametrize("name", ["GetPooledStep", "WritePooledStep"])
def test_a_step_may_have_a_pool_of_processes(producer: Producer, name: str) -> None:
    outcome = producer.run([{"name": name, "retries": 0}], timeout=10).outcomes[0]
    assert (outcome.value, outcome.error) == ([1, 2, 3], None)
