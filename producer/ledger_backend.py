"""The Celery result backend that leaves joining to the ledger, so that a chord survives a part that fails."""

from typing import Any

from celery.backends.base import DisabledBackend


class LedgerBackend(DisabledBackend):
    """No results are stored here, and a chord's body is never sent from here.

    Celery calls `apply_chord` once, before it publishes the header, and `on_chord_part_return` for every part that
    ends, failed ones too. The run and its body are in the ledger before either: the script that settles the last step
    makes the body ready, and whoever made that call publishes it.
    """

    def ensure_chords_allowed(self) -> None:
        """Allow chords: the ledger joins them."""

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> None:
        """Do nothing: the body is a step of the run already."""

    def on_chord_part_return(self, request: Any, state: Any, result: Any, **kwargs: Any) -> None:
        """Do nothing: settling counts, not the end of a message."""
