"""Collects all that is wrong with a batch, and refuses it with everything at once."""

import re
from collections.abc import Sequence
from typing import Final

from producer.planning.batch import Batch
from producer.planning.batch_calls import BatchCall
from producer.planning.known_steps import Catalogue
from producer.run_meta import OUTCOMES_KEY
from steps.classifier import Decision
from steps.errors import InvalidBatch, UnknownStep
from steps.json_value import utf8_size
from steps.problem import Problem

PARAMS: Final = ".params"

_OF_STEP: Final = re.compile(r"steps\[(\d+)\]")


class Refusal:
    """The problems of one batch.

    Args:
        batch: With the problems found when it was read.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._problems = dict.fromkeys(batch.problems)
        self._unknown: list[UnknownStep] = []
        self._is_context_refused = any(problem.path.startswith("context") for problem in batch.problems)
        self._params_refused = {
            problem.path.partition(PARAMS)[0] for problem in batch.problems if PARAMS in problem.path
        }

    def add(self, path: str, message: str) -> None:
        """Note a problem; the same one noted twice counts once."""
        self._problems[Problem(path, message)] = None

    def check_calls(self, calls: Sequence[BatchCall], catalogue: Catalogue) -> None:
        """Check that every step is known and that its params fit."""
        without_params: dict[str, list[Problem]] = {}
        for call in calls:
            known = catalogue.find(call.name) if call.name else None
            if known is None:
                self._refuse_unknown(call, catalogue)
            elif not self.has_sound_values(call):
                continue
            elif call is self._batch.then:
                self._add_all(call, known.check(call.params, {OUTCOMES_KEY: [], **self._batch.context}))
            elif call.params:
                self._add_all(call, known.check(call.params, self._batch.context))
            else:
                if call.name not in without_params:
                    without_params[call.name] = known.check({}, self._batch.context)
                self._add_all(call, without_params[call.name])

    def has_sound_values(self, call: BatchCall | None) -> bool:
        """Whether neither the context nor the call's params were refused; those that were are empty now."""
        return not self._is_context_refused and (call is None or call.path not in self._params_refused)

    def check_mode(self, decisions: Sequence[Decision]) -> None:
        """Check that a forced parallel mode runs no critical step beside others."""
        unknown = {"", *(error.name for error in self._unknown)}
        for call, decision in zip(self._batch.calls, decisions, strict=False):
            if decision.critical and call.name not in unknown:
                self.add(
                    call.path,
                    f"is critical ({decision.reason}), and mode parallel would run it beside others; "
                    f"leave out the mode, or say critical: false for this call",
                )

    def check_size(self, calls_bytes: int, max_bytes: int) -> None:
        """Check the size of the whole run."""
        size = calls_bytes + utf8_size(self._batch.context_json)
        if size > max_bytes:
            message = f"take {size} bytes of JSON with the context, more than the {max_bytes} allowed"
            self.add("steps", f"{message}; split the batch")

    def raise_if_any(self) -> None:
        """Refuse the batch if anything is wrong with it.

        Raises:
            InvalidBatch: With everything that is; as `UnknownStep` where nothing but unknown names is.
        """
        if not self._problems:
            return
        problems = sorted(self._problems, key=_step_index)
        if len(problems) == len(self._unknown):
            raise UnknownStep(self._unknown[0].name, self._unknown[0].nearest, problems)
        raise InvalidBatch(problems)

    def _refuse_unknown(self, call: BatchCall, catalogue: Catalogue) -> None:
        if call.name:
            error = catalogue.unknown(call.name)
            self._unknown.append(error)
            self.add(call.name_path, str(error))

    def _add_all(self, call: BatchCall, problems: Sequence[Problem]) -> None:
        for problem in problems:
            of_call = problem.path.startswith("params")
            self.add(f"{call.path}.{problem.path}" if of_call else problem.path, problem.message)


def _step_index(problem: Problem) -> int:
    """Return where a problem stands in the batch: what is not about one step comes first."""
    of_step = _OF_STEP.match(problem.path)
    return -1 if of_step is None else int(of_step[1])
