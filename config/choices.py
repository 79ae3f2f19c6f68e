"""The words among which settings, batches, steps and command lines choose, each list written once."""

from typing import Literal

Order = Literal["critical_first", "overlap"]
"""Whether the non-critical steps of a batch wait for its critical ones."""

Strategy = Literal["basic", "simple"]
"""What follows a failed critical step: those after it are skipped, or they run all the same."""

Mode = Literal["sequential", "parallel", "hybrid"]
"""How a run goes, or is made to go: one step after the other, side by side, or each step by its class."""

Priority = Literal["normal", "high"]
"""How urgent a run is to its caller."""

BackoffKind = Literal["fixed", "linear", "exponential", "random"]
"""How the waits between the attempts of a step grow."""
