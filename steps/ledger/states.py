"""The life of a step and of a lane as tables: what the scripts may do, and what the model tests hold them to."""

from typing import Final

START_OF_STEP: Final = "waiting"
START_OF_LANE: Final = "idle"

STEP_LIFE: Final[dict[str, dict[str, str]]] = {
    # state      event          next state   what it means
    "waiting": {
        "open": "ready",  # its turn in the run has come: the gate is open, or the lane reached it
        "stop": "vacated",  # skipped, cancelled or past the deadline: it never starts
    },
    "ready": {
        "hold_back": "delayed",  # as many of it run, or have started, as its limits allow
        "publish": "published",  # a message for its parcel is on its way
        "claim": "running",  # a late or doubled message may come before the mark of its publishing
        "pause": "waiting",  # its run leaves its lanes: its turn has yet to come
        "stop": "vacated",
    },
    "published": {
        "hold_back": "delayed",
        "claim": "running",
        "offer": "ready",  # nobody is left at work on its parcel: that is to be published once more
        "pause": "waiting",
        "stop": "vacated",
    },
    "running": {
        "settle": "vacated",  # outcome fixed and code returned: the normal way
        "settle_only": "settled",  # outcome fixed while the code may still run
        "retry": "delayed",  # the step reported a failure and may try again
        "park": "delayed",  # its worker does not know it: it steps out of its lanes and is offered again later
        "release": "ready",  # its worker gives it back unharmed
        "reap": "ready",  # its worker died
        "reap_at_limit": "vacated",  # it was running at one death too many: lost
        "stop": "settled",  # the run was stopped and the grace is over
    },
    "delayed": {
        "due": "ready",
        "stop": "vacated",
    },
    "settled": {
        "vacate": "vacated",  # the code has returned, or its process is gone
        "reap": "vacated",  # the lease of its worker has lapsed
    },
    "vacated": {},
}

LANE_LIFE: Final[dict[str, dict[str, str]]] = {
    # What the first run in line does in this lane. A run in several lanes has its turn in one of them at a time.
    "idle": {
        "enter": "offered",  # the first run in line: its parcel is published
        "enter_early": "waiting",  # the first run in line, while its turn is in another lane
    },
    "offered": {
        "enter": "offered",  # behind the head
        "claim": "held",
        "hold_back": "waiting",  # the step finds no place: the head keeps the lane for a while
        "pass": "waiting",  # what it offers was cancelled: its turn passes to another lane, and will be back
        "leave": "idle",  # the last run in line was stopped
        "next": "offered",  # the head left, the run behind it is offered
        "next_early": "waiting",  # the head left, the run behind it has its turn in another lane
    },
    "held": {
        "enter": "held",
        "settle": "offered",  # the head has more to run here
        "pass": "waiting",  # the head's turn passes to another lane, and will be back
        "settle_only": "draining",
        "retry": "waiting",  # the head waits for its retry and keeps the lane
        "release": "offered",
        "reap": "offered",
        "leave": "idle",  # the last run in line is done here, or steps out for a long wait
        "next": "offered",
        "next_early": "waiting",
    },
    "draining": {
        "enter": "draining",
        "vacate": "offered",
        "pass": "waiting",
        "leave": "idle",
        "next": "offered",
        "next_early": "waiting",
    },
    "waiting": {
        "enter": "waiting",
        "due": "offered",  # the wait for a retry or a place is over
        "turn": "offered",  # the head is done in the other lane
        "cancel": "offered",  # what the head waited for is cancelled
        "leave": "idle",
        "next": "offered",
        "next_early": "waiting",
    },
}


def after(state: str, event: str) -> str:
    """Return the step state that ``event`` leads to; KeyError where the table forbids it."""
    return STEP_LIFE[state][event]


def as_markdown(table: dict[str, dict[str, str]]) -> str:
    """Return a table as Markdown, a row per state and event, for the docs and the test that compares them."""
    rows = ["| state | event | next state |", "|---|---|---|"]
    rows += [f"| {state} | {event} | {next_} |" for state, events in table.items() for event, next_ in events.items()]
    return "\n".join(rows)
