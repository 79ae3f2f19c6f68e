"""Decides which steps of a batch are critical, and says by which rule: slow where in doubt, never wrong."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, Literal, Protocol, get_args

from config.patterns import Pattern, compile_pattern
from config.rules import Rules, load_rules, spellings
from config.settings import Settings

__all__ = ["Classification", "Decision", "Rule", "StepClassifier", "classifier_of"]

Rule = Literal["call", "decorator", "explicit", "context", "pattern", "default", "fallback"]

RULES: Final[tuple[Rule, ...]] = get_args(Rule)

REMEMBERED_NAMES: Final = 4_096
"""Names whose decision by patterns is kept: a site has fewer, and a pattern costs 1.5 us a name."""

logger = logging.getLogger(__name__)


class Facts(Protocol):
    """What the classifier asks of a known step: what its decorator says, or None if it says nothing."""

    @property
    def critical(self) -> bool | None: ...


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether one step is critical, the rule that decided, and the reason for people."""

    name: str
    critical: bool
    reason: str
    rule: Rule


@dataclass(frozen=True)
class Classification:
    """The decisions of a batch, in input order."""

    decisions: tuple[Decision, ...]

    @cached_property
    def critical(self) -> list[str]:
        """Names of the critical steps, in input order; a name called twice is there twice."""
        return [decision.name for decision in self.decisions if decision.critical]

    @cached_property
    def non_critical(self) -> list[str]:
        """Names of the steps that may run side by side, in input order."""
        return [decision.name for decision in self.decisions if not decision.critical]

    @property
    def counts(self) -> dict[str, int]:
        """How many: ``{"total", "critical", "non_critical"}``."""
        return {
            "total": len(self.decisions),
            "critical": len(self.critical),
            "non_critical": len(self.non_critical),
        }

    @property
    def parallelisation_ratio(self) -> float:
        """The part that may run side by side: 0.0 (also of an empty batch) to 1.0."""
        return len(self.non_critical) / len(self.decisions) if self.decisions else 0.0

    @property
    def reasons(self) -> dict[str, str]:
        """The reason by name; of a name called twice that of its last call (``decisions`` has all)."""
        return {decision.name: decision.reason for decision in self.decisions}

    def as_dict(self) -> dict[str, Any]:
        """Return the lists, counts, ratio and reasons as JSON-able data."""
        return {
            "critical": self.critical,
            "non_critical": self.non_critical,
            "counts": self.counts,
            "parallelisation_ratio": self.parallelisation_ratio,
            "reasons": self.reasons,
        }


class StepClassifier:
    """Classifies steps by name, context and what call and decorator say; the first that says something wins.

    Args:
        rules: Patterns, names and context rule; by default Stepline's own.
        unknown_is_critical: What becomes of a name that nothing matches.
    """

    def __init__(self, rules: Rules | None = None, *, unknown_is_critical: bool = True) -> None:
        self._rules = load_rules() if rules is None else rules
        self._unknown_is_critical = unknown_is_critical
        self._critical = _compiled(self._rules.critical_patterns)
        self._non_critical = _compiled(self._rules.non_critical_patterns)
        self._by_pattern = lru_cache(maxsize=REMEMBERED_NAMES)(self._match)

    @property
    def rules(self) -> Rules:
        """What it decides by."""
        return self._rules

    def classify_steps(
        self,
        names: Iterable[str],
        context: Mapping[str, object] | None = None,
        *,
        facts: Callable[[str], Facts | None] | None = None,
        calls: Sequence[bool | None] | None = None,
    ) -> Classification:
        """Classify a batch; an error makes the whole of it critical, by the rule ``fallback``.

        Args:
            names: Step names in input order.
            context: The batch's context.
            facts: Finds what is known of a step, for what its decorator says.
            calls: For each name what its call says of ``critical``, None for nothing.
        """
        names = list(names)
        try:
            said = [None] * len(names) if calls is None else calls
            because = self._context_reason(context or {})
            decisions = [
                self._decide(name, because, call, _declared(facts, name))
                for name, call in zip(names, said, strict=True)
            ]
        except Exception as error:  # whatever it is, one at a time is never wrong
            reason = f"classifying failed ({type(error).__name__}: {error}), so the whole batch is critical"
            logger.warning("%s", reason, exc_info=True)
            decisions = [Decision(name, True, reason, "fallback") for name in names]
        return Classification(tuple(decisions))

    def classify(
        self,
        name: str,
        context: Mapping[str, object] | None = None,
        *,
        call: bool | None = None,
        declared: bool | None = None,
    ) -> Decision:
        """Decide on one step.

        Args:
            name: The step's.
            context: The batch's context.
            call: What the call says of ``critical``.
            declared: What the decorator says of it.
        """
        return self._decide(name, self._context_reason(context or {}), call, declared)

    def _decide(self, name: str, because_of_context: str | None, call: bool | None, declared: bool | None) -> Decision:
        if call is not None:
            return Decision(name, call, f"the call says critical={call}", "call")
        if declared is not None:
            return Decision(name, declared, f"the step's decorator says critical={declared}", "decorator")
        if name in self._rules.critical_names:
            return Decision(name, True, "listed in critical_names", "explicit")
        if name in self._rules.non_critical_names:
            return Decision(name, False, "listed in non_critical_names", "explicit")
        if because_of_context is not None:
            return Decision(name, True, because_of_context, "context")
        return self._by_pattern(name)

    def _match(self, name: str) -> Decision:
        changes, reads = _found(self._critical, name), _found(self._non_critical, name)
        if changes is not None:
            also = "" if reads is None else f" (which wins over non-critical {reads!r})"
            return Decision(name, True, f"matches critical pattern {changes!r}{also}", "pattern")
        if reads is not None:
            return Decision(name, False, f"matches non-critical pattern {reads!r}", "pattern")
        kind = "critical" if self._unknown_is_critical else "non-critical"
        return Decision(name, self._unknown_is_critical, f"no rule matches, unknown is {kind}", "default")

    def _context_reason(self, context: Mapping[str, object]) -> str | None:
        for key in self._rules.context_keys:
            for spelling in spellings(key):
                if context.get(spelling):
                    return f"the context has {spelling}"
        for key, values in self._rules.context_values.items():
            for spelling in spellings(key):
                value = context.get(spelling)
                if isinstance(value, str) and value in values:
                    return f"the context has {spelling}={value!r}"
        return None


def classifier_of(settings: Settings) -> StepClassifier:
    """Return the classifier of a site.

    Raises:
        SettingsError: Its rules file is wrong.
    """
    return StepClassifier(load_rules(settings.rules_file), unknown_is_critical=settings.unknown_is_critical)


def _declared(facts: Callable[[str], Facts | None] | None, name: str) -> bool | None:
    known = None if facts is None else facts(name)
    return None if known is None else known.critical


def _compiled(patterns: Iterable[str]) -> tuple[tuple[str, Pattern], ...]:
    return tuple((text, compile_pattern(text, ignore_case=True)) for text in patterns)


def _found(patterns: Iterable[tuple[str, Pattern]], name: str) -> str | None:
    return next((text for text, pattern in patterns if pattern.search(name)), None)
