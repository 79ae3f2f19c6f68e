"""The ledger: the run state in Redis, changed only by small Lua scripts."""

from steps.ledger.ledger import Ledger

__all__ = ["Ledger"]
