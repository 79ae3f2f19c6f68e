"""One step as a worker needs it: which code to run, with what, for how long, and how often."""

from dataclasses import dataclass, field
from typing import Any

from steps import json_value
from steps.backoff import Backoff


@dataclass(frozen=True, slots=True)
class StepCall:
    """A step of an accepted plan, every default filled in.

    Args:
        id: Unique within its run.
        name: Of the registered step.
        params: Its arguments as given; what they leave out comes from the context or the signature.
        timeout_s: How long one attempt may run, in seconds.
        retries: How often it is tried again after a failure.
        backoff: How long it waits before that.
    """

    id: str
    name: str
    params: dict[str, Any] = field(default_factory=dict)
    timeout_s: float = 30.0
    retries: int = 0
    backoff: Backoff = field(default_factory=Backoff)

    def encode(self, params_json: str | None = None) -> str:
        """Return the call as compact JSON; it opens with the id, which the ledger's scripts read.

        Args:
            params_json: The params' compact JSON where the caller has it already; empty for none.
        """
        if params_json is None:
            params_json = json_value.encode(self.params) if self.params else ""
        backoff = self.backoff
        head = f'{{"id":{json_value.encode(self.id)},"name":{json_value.encode(self.name)},'
        params = f'"params":{params_json},' if params_json else ""
        retry = f'"{backoff.kind}",{backoff.delay_s!r},{backoff.cap_s!r},{"true" if backoff.jitter else "false"}'
        return f'{head}{params}"timeout_s":{self.timeout_s!r},"retries":{self.retries},"backoff":[{retry}]}}'

    @classmethod
    def decode(cls, text: str | bytes) -> "StepCall":
        """Return the call of a text that `encode` made; keys that a later version added are passed over."""
        record = json_value.decode(text)
        return cls(
            id=record["id"],
            name=record["name"],
            params=record.get("params") or {},
            timeout_s=record["timeout_s"],
            retries=record["retries"],
            backoff=Backoff(*record["backoff"][:4]),
        )
