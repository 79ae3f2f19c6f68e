"""Bugs to plant in the ledger's scripts: the machine that follows the model must find each of them."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from steps.ledger.scripts import SCRIPTS


@dataclass(frozen=True)
class Mutant:
    """A change to the text of the scripts; ``name`` says what goes wrong."""

    name: str
    text: str
    instead: str = ""

    def __str__(self) -> str:
        return self.name


MUTANTS = (
    Mutant("any fence may settle", "  if s.fence ~= fence then return '0' end\n"),
    Mutant("a settled step may be settled again", "  if s.state ~= 'running' then return '0' end\n"),
    Mutant("a held lane is granted again", " or get(R, 'hold') ~= '' or get(R, 'offered') ~= '1'", ""),
    Mutant("parallel steps do not wait for the critical ones", "  if not gate_is_open(R) then return {} end\n"),
    Mutant("max_concurrency is not kept", "count_of(R, 'maxc') - count_of(R, 'running'), SLICE", "SLICE"),
    Mutant("deaths are not counted", "  if not announced then s.deaths = s.deaths + 1 end\n"),
    Mutant("announced ends are deaths", "if not announced then s.deaths", "if true then s.deaths"),
    Mutant(
        "fences are taken from the clock alone",
        "math.max((tonumber(call('HGET', SITE, 'fence')) or 0) + 1, NOW)",
        "NOW",
    ),
    Mutant(
        "fences are counted without the clock",
        "+ 1, NOW)\n  call('HSET', SITE, 'fence'",
        "+ 1, 0)\n  call('HSET', SITE, 'fence'",
    ),
    Mutant("the dead may claim", "  if call('EXISTS', WORKER .. worker) == 0 then return {}, false end\n"),
    Mutant("tickets do not count", "  if call('ZRANGE', LANE .. p.lane, 0, 0)[1] ~= R.id then return end\n"),
    Mutant(
        "settling frees the lane before the code has stopped",
        "    if vacated then free(R, s) end\n",
        "    free(R, s)\n",
    ),
    Mutant(
        "the next run in line is forgotten",
        "call('HDEL', LANES, lane) end\n  offer_head(lane)\n",
        "call('HDEL', LANES, lane) end\n",
    ),
    Mutant("a long wait keeps its place", "    put(R, 'away', '1')\n    leave_lanes(R)\n", "    put(R, 'away', '1')\n"),
    Mutant(
        "what ends unstarted stays pending",
        "  for queue, count in pairs(R.fixed) do call('HINCRBY', PENDING, queue, -count) end\n",
    ),
    Mutant("a claim that nobody knows of is left", "local R = not known_claims[claims[at]] and", "local R = false and"),
    Mutant("a released step is lost sight of", " .. i .. ',') end\nend", ") end\nend"),
)


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """Put the bug into every script that has the text, for as long as the block lasts."""
    changed = {}
    for name, script in SCRIPTS.items():
        if mutant.text in script.text:
            text = script.text.replace(mutant.text, mutant.instead)
            digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            changed[name] = replace(script, text=text, digest=digest)
    assert changed, f"no script has the text of {mutant.name!r} any more"
    before = dict(SCRIPTS)
    SCRIPTS.update(changed)
    try:
        yield
    finally:
        SCRIPTS.update(before)
