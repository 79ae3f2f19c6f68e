"""What became of a step: the outcome a caller sees, and the settlement that the ledger keeps of it."""

from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from steps import json_value

Status = Literal["succeeded", "failed", "timed_out", "cancelled", "skipped", "lost"]
STATUSES: Final[tuple[Status, ...]] = get_args(Status)


@dataclass(frozen=True, slots=True)
class OutcomeError:
    """Why a step did not succeed: an exception's type or a reason's name, its message, JSON details."""

    type: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return ``{type, message, details}``."""
        return {"type": self.type, "message": self.message, "details": self.details}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """An outcome as the ledger stores it: only what the plan does not know.

    Args:
        status: One of `STATUSES`.
        value: What the step returned, as JSON; None unless it succeeded.
        error: Why it did not; None if it succeeded.
        attempts: How often it was started.
        queued_ms: Milliseconds it was ready before its last attempt started; None if it never did.
        ran_ms: Milliseconds the last attempt ran; None if there was none.
        worker: Who ran it last; None if nobody did.
        started_ms: When the last attempt started, in milliseconds since 1970; None if none did.
    """

    status: Status
    value: Any = None
    error: OutcomeError | None = None
    attempts: int = 0
    queued_ms: float | None = None
    ran_ms: float | None = None
    worker: str | None = None
    started_ms: float | None = None

    def encode(self) -> str:
        """Return it as compact JSON without its defaults."""
        record: dict[str, Any] = {"status": self.status}
        if self.attempts:
            record["attempts"] = self.attempts
        for name in _UNSET_IF_NONE:
            if (value := getattr(self, name)) is not None:
                record[name] = value
        if self.error is not None:
            record["error"] = self.error.as_dict()
        return json_value.encode(record)

    @classmethod
    def decode(cls, text: str | bytes) -> "Settlement":
        """Return the settlement of a text that `encode` or a script of the ledger made."""
        return cls.from_record(json_value.decode(text))

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Settlement":
        """Return the settlement of decoded JSON; keys that a later version added are passed over."""
        error = record.get("error")
        return cls(
            status=record["status"],
            value=record.get("value"),
            error=None if error is None else OutcomeError(error["type"], error["message"], error.get("details") or {}),
            attempts=record.get("attempts", 0),
            queued_ms=record.get("queued_ms"),
            ran_ms=record.get("ran_ms"),
            worker=record.get("worker"),
            started_ms=record.get("started_ms"),
        )


_UNSET_IF_NONE: Final = ("queued_ms", "ran_ms", "worker", "started_ms", "value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The one and only outcome of a step, as its caller sees it.

    Args:
        id: Of the step in its run.
        name: Of the registered step.
        status: One of `STATUSES`.
        value: What the step returned; None unless it succeeded.
        error: Why it did not succeed; None if it did.
        attempts: How often it was started.
        queued_ms: Milliseconds it was ready before its last attempt started; None if it never did.
        ran_ms: Milliseconds the last attempt ran; None if there was none.
        worker: Who ran it last; None if nobody did.
        critical: Whether it was classified as changing things.
        reason: Why it was classified so.
        rule: Which rule decided that, such as ``decorator`` or ``pattern``.
        queue: Where it was sent.
        lane: The lane it waited in; None if it ran beside others.
        started_ms: When its last attempt started, in milliseconds since 1970.
        settled_ms: When it settled, in milliseconds since 1970; None where that is not known.
    """

    id: str
    name: str
    status: Status
    value: Any = None
    error: OutcomeError | None = None
    attempts: int = 0
    queued_ms: float | None = None
    ran_ms: float | None = None
    worker: str | None = None
    critical: bool
    reason: str
    rule: str
    queue: str
    lane: str | None = None
    started_ms: float | None = None
    settled_ms: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the step succeeded."""
        return self.status == "succeeded"

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as ``stepline run --json`` prints it."""
        return {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "critical": self.critical,
            "reason": self.reason,
            "rule": self.rule,
            "queue": self.queue,
            "lane": self.lane,
            "worker": self.worker,
            "attempts": self.attempts,
            "queued_ms": self.queued_ms,
            "ran_ms": self.ran_ms,
            "value": self.value,
            "error": None if self.error is None else self.error.as_dict(),
        }
