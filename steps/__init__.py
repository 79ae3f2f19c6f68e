"""Steps: what they are, how one attempt of them runs, and how it ends."""

from pathlib import Path

import config

if not hasattr(config, "refuse_foreign"):
    raise ImportError(f"{config!r} shadows Stepline's {Path(__file__).parents[1] / 'config'}: rename it")

from steps.backoff import Backoff
from steps.classifier import Classification, StepClassifier
from steps.context import StepContext
from steps.decorator import step
from steps.definition import StepDefinition, StepFacts
from steps.errors import (
    BrokerUnavailable,
    DuplicateStep,
    GatherInsideStep,
    GatherTimeout,
    InvalidBatch,
    InvalidStep,
    KeyConflict,
    QueueFull,
    Retry,
    RunLost,
    RunUnknown,
    SteplineError,
    StepTimeout,
    StoreFull,
    SubmitUnknown,
    UnfitRedis,
    UnknownStep,
)
from steps.outcome import Outcome, OutcomeError
from steps.problem import Problem
from steps.registry import StepRegistry, load_step_modules

__all__ = [
    "Backoff",
    "BrokerUnavailable",
    "Classification",
    "DuplicateStep",
    "GatherInsideStep",
    "GatherTimeout",
    "InvalidBatch",
    "InvalidStep",
    "KeyConflict",
    "Outcome",
    "OutcomeError",
    "Problem",
    "QueueFull",
    "Retry",
    "RunLost",
    "RunUnknown",
    "StepClassifier",
    "StepContext",
    "StepDefinition",
    "StepFacts",
    "StepRegistry",
    "StepTimeout",
    "SteplineError",
    "StoreFull",
    "SubmitUnknown",
    "UnfitRedis",
    "UnknownStep",
    "load_step_modules",
    "step",
]
