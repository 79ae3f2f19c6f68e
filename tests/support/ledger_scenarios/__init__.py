"""Stories that every script of the ledger must tell in the same words on fakeredis and on every real Redis."""

from tests.support.ledger_scenarios import (
    bodies,
    claiming,
    ending,
    keeping,
    lane_waits,
    lanes,
    opening,
    republishing,
    settling,
    stopping,
    watching,
)
from tests.support.ledger_story import SCENARIOS

__all__ = [
    "SCENARIOS",
    "bodies",
    "claiming",
    "ending",
    "keeping",
    "lane_waits",
    "lanes",
    "opening",
    "republishing",
    "settling",
    "stopping",
    "watching",
]
