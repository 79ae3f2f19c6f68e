"""The errors: one tree, messages that help, and no harm from pickling."""

import copy
import pickle

import pytest

from config.errors import SteplineError
from steps import errors
from steps.errors import InvalidBatch, Problem, UnknownStep
from steps.outcome import Outcome

OUTCOME = Outcome(id="a", name="A", status="succeeded", critical=False, reason="", rule="default", queue="parallel")

EXAMPLES = [
    InvalidBatch([Problem("steps[0]", "is bad")]),
    UnknownStep("GetChat", ["GetChatStep"]),
    UnknownStep("GetChat", (), [Problem("steps[1]", "is not known")]),
    errors.InvalidStep("step 'A' (one.A) yields"),
    errors.DuplicateStep("A", "one.A", "two.A"),
    errors.QueueFull("critical", 100_000, 100_000),
    errors.StoreFull(95 << 20, 100 << 20, 0.9),
    errors.BrokerUnavailable("no Redis at localhost:1"),
    errors.NoAnswer("Redis at localhost:1 does not answer"),
    errors.NewEpoch(),
    errors.SubmitUnknown("run-1"),
    errors.KeyConflict("key", "run-1"),
    errors.GatherTimeout("run-1", 2.0, [OUTCOME], 3),
    errors.GatherInsideStep(),
    errors.RunUnknown("run-1"),
    errors.RunLost("run-1"),
    errors.Retry(2.0, "the store is busy"),
    errors.StepTimeout(30.0),
    errors.UnfitRedis("this Redis is a Cluster"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_is_a_stepline_error_with_a_message_that_survives_pickling_and_copying(
    error: SteplineError,
) -> None:
    assert isinstance(error, SteplineError)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error) != ""
        assert vars(twin) == vars(error)


def test_every_error_of_the_list_has_an_example() -> None:
    assert {type(error).__name__ for error in EXAMPLES} == set(errors.__all__) - {"Problem", "SteplineError"}


def test_an_invalid_batch_lists_its_problems_a_line_each() -> None:
    error = InvalidBatch([Problem("steps[0].id", "is bad"), Problem("", "is worse")])
    assert str(error) == "steps[0].id: is bad\nis worse"
    assert error.problems == (Problem("steps[0].id", "is bad"), Problem("", "is worse"))


def test_an_invalid_batch_with_many_problems_holds_all_and_prints_some() -> None:
    error = InvalidBatch([Problem(f"steps[{index}]", "is bad") for index in range(25)])
    assert len(error.problems) == 25
    assert str(error).splitlines()[-1] == "... and 5 more"


def test_an_unknown_step_names_what_may_have_been_meant() -> None:
    error = UnknownStep("GetChat", ["GetChatStep", "GetCatStep"])
    assert isinstance(error, InvalidBatch)
    assert str(error) == "no step is named 'GetChat'; did you mean GetChatStep or GetCatStep?"
    assert error.nearest == ("GetChatStep", "GetCatStep")


def test_an_unknown_step_like_no_other_says_where_steps_come_from() -> None:
    assert "STEPLINE_STEP_MODULES" in str(UnknownStep("X"))


def test_a_gather_timeout_holds_the_outcomes_so_far() -> None:
    error = errors.GatherTimeout("run-1", 2.0, [OUTCOME], 3)
    assert error.outcomes == (OUTCOME,)
    assert str(error) == "run run-1 has 1 of 3 outcomes after 2 s; it goes on"
