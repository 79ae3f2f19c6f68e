"""Every key of the ledger, named once, for the scripts and for Python.

| key | type | holds |
|---|---|---|
| site | hash | seq (site sequence), when its epoch began, last fence, ticket; probes of queues, when they were left |
| run:RUN | hash | one run: plan, counters, states of its steps, outcomes |
| events:RUN | stream | one entry for each change of the run |
| lane:LANE | zset | run ids in line, by ticket |
| lanes | hash | lane -> run that holds it and since when (microseconds) |
| due | zset | what the keepers must look at, by Redis time in milliseconds |
| pending | hash | queue -> accepted steps that have not settled |
| worker:ID | hash | one live worker: beat, queue, info, and RUN:PARCEL of the messages that it has received |
| workers | set | ids of the live workers |
| queue:QUEUE | set | ids of the live workers of a queue |
| claims:WORKER | hash | RUN:INDEX -> fence, what the worker has claimed and not vacated |
| stops:WORKER | list | RUN:INDEX, running steps that the worker shall stop |
| known, known_seen | hash, zset | step name -> its facts; and when a worker last listed it (milliseconds) |
| open_runs, closed_runs | zset | run ids, by when they were accepted and when they settled (milliseconds) |
| backlog:QUEUE | zset | runs with unsettled steps on the queue, by when they were accepted (milliseconds) |
| stats, step_stats | hash | counts of the site, and of each step by its name, since they were first written |
| places:STEP | set | RUN:INDEX, the places taken of a step with max_running |
| held:STEP | zset | RUN:INDEX, those in line for such a place or start, by since when (microseconds) |
| starts:STEP | list | the last starts of a step with a rate (microseconds) |
| key:KEY | string | RUN and a digest of its plan: whose idempotency key it is |
| latest:NAME | string | the last run that took this place from the one before it |
| inbox:ID, alive:ID | list, string | completion notices for a waiting process; present while it waits |
| dead_letters | list | the last 1,000 messages that were not understood, the newest first |
"""

from typing import Final

LAYOUT_VERSION: Final = 1

WHOLE_KEYS: Final = (
    "site",
    "lanes",
    "due",
    "pending",
    "workers",
    "known",
    "known_seen",
    "open_runs",
    "closed_runs",
    "stats",
    "step_stats",
)
KEY_FAMILIES: Final = (
    "run",
    "events",
    "lane",
    "worker",
    "queue",
    "claims",
    "stops",
    "backlog",
    "places",
    "held",
    "starts",
    "key",
    "latest",
    "inbox",
    "alive",
)


def key_root(prefix: str) -> str:
    """Return what every key starts with: the site's prefix and the layout's major version."""
    return f"{prefix}:v{LAYOUT_VERSION}:"


def inbox_key(prefix: str, inbox: str) -> str:
    """Return the list a waiting process pops its notices from."""
    return f"{key_root(prefix)}inbox:{inbox}"


def dead_letters_key(prefix: str) -> str:
    """Return the list of messages that were not understood; no script uses it."""
    return f"{key_root(prefix)}dead_letters"


def lua_names() -> str:
    """Return the Lua lines that name the same keys, once ``name_keys`` is called with their root."""
    whole = [f"  {name.upper()} = root .. '{name}'" for name in WHOLE_KEYS]
    families = [f"  {name.upper()} = root .. '{name}:'" for name in KEY_FAMILIES]
    names = ", ".join(map(str.upper, (*WHOLE_KEYS, *KEY_FAMILIES)))
    head = [
        f"local ROOT, {names}",
        "local function name_keys(root)",
        "  if root == ROOT then return end",
        "  ROOT = root",
    ]
    return "\n".join([*head, *whole, *families, "end"])
