"""One thing wrong with what a caller gave."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Where (``steps[3].params.path``; empty: the whole of it) and what is wrong there."""

    path: str
    message: str

    def __str__(self) -> str:
        """Return ``path: message``, or the message alone where there is no path."""
        return f"{self.path}: {self.message}" if self.path else self.message
