"""A message that could not be understood, as the ledger keeps it."""

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

KEPT_BYTES: Final = 4096
"""How much of such a message is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that was set aside.

    Args:
        at_ms: When, in milliseconds since 1970.
        queue: Where it was.
        worker: Who took it.
        reason: Why it was not understood.
        size: How many bytes it had.
        raw: The first `KEPT_BYTES` of them.
    """

    at_ms: float
    queue: str
    worker: str
    reason: str
    size: int
    raw: bytes

    def excerpt(self, count: int) -> str:
        """Return the first ``count`` bytes in printable ASCII: whatever they are, they steer no terminal."""
        return repr(self.raw[:count])[2:-1]

    def encode(self) -> str:
        """Return it as the ledger writes it down."""
        return json.dumps(
            {
                "at_ms": self.at_ms,
                "queue": self.queue,
                "worker": self.worker,
                "reason": self.reason,
                "size": self.size,
                "raw": b64encode(self.raw[:KEPT_BYTES]).decode(),
            }
        )

    @classmethod
    def decode(cls, text: bytes) -> "DeadLetter":
        """Return what was written down."""
        fields = json.loads(text)
        return cls(**{**fields, "raw": b64decode(fields["raw"])})
