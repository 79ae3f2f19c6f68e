"""What the ledger's verbs take and give, as plain frozen records."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ParcelRange:
    """A parcel as the ledger keeps it: steps ``first`` to ``last`` (ledger indexes), queue, and lane ('' for none)."""

    queue: str
    lane: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class SiteLimits:
    """What holds for a step over the whole site: how many run at once, how many start in how many seconds."""

    step: str
    max_running: int | None = None
    starts: int | None = None
    within_s: float | None = None


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to open; steps in ledger order: critical ones, then parallel ones by queue, then the completion body.

    ``after`` are runs that must settle first, ``rules`` counts the decisions of each rule, ``limits`` are those of the
    steps that have some, by ledger index. ``key`` is its idempotency key and ``digest`` that of its plan; the run that
    has the place named in ``supersedes`` is cancelled; ``queue_timeout_s`` limits the wait for its first step.
    """

    run_id: str
    meta: str
    calls: tuple[str, ...]
    parcels: tuple[ParcelRange, ...]
    critical_count: int
    critical_parcels: int
    max_concurrency: int
    deadline_s: float
    critical_first: bool
    stops_at_failure: bool
    has_body: bool = False
    name: str = ""
    mode: str = ""
    priority: int = 1
    after: tuple[str, ...] = ()
    rules: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[int, SiteLimits] = field(default_factory=dict)
    key: str = ""
    digest: str = ""
    supersedes: str = ""
    queue_timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """A parcel to publish, in so many copies; ``priority`` is its run's."""

    run_id: str
    parcel: int
    queue: str
    copies: int
    priority: int = 1


@dataclass(frozen=True, slots=True)
class Opened:
    """The answer to open: whether this call created the run, what to publish, what has more to sweep.

    ``run_id`` is the run that has the idempotency key, where that is another one.
    """

    created: bool
    ready: tuple[Ready, ...]
    unfinished: tuple[str, ...] = ()
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimedStep:
    """The right to run one attempt: ``call`` is the encoded step call, times are as of the claim.

    A suspect was running beside others when its worker died: it is to run alone.
    """

    index: int
    fence: int
    attempt: int
    failures: int
    queued_ms: float
    call: bytes
    is_suspect: bool = False


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim granted: steps, the time of the claim (epoch ms), the run's remaining time (None: no limit)."""

    steps: tuple[ClaimedStep, ...] = ()
    now_ms: float = 0.0
    remaining_s: float | None = None
    settled_count: int = 0
    has_more: bool = False
    meta: bytes = b""


@dataclass(frozen=True, slots=True)
class StepFate:
    """What becomes of a claimed attempt.

    ``kind`` S settles it with the status in ``argument`` and the outcome in ``payload``; R tries it again and P parks
    it, after the microseconds in ``argument``; B gives it back.
    """

    index: int
    fence: int
    kind: str
    argument: str = ""
    payload: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """The answer to a settle: which fates were accepted, what to publish, runs with more to sweep, the next claim."""

    accepted: tuple[bool, ...] = ()
    ready: tuple[Ready, ...] = ()
    unfinished: tuple[str, ...] = ()
    next: Claimed = field(default_factory=Claimed)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as read: times in epoch ms, outcomes by ledger index (None where not settled).

    ``rolled_back``: Redis came back with older data while it was open.
    """

    is_settled: bool
    created_ms: float
    settled_ms: float | None
    left: int
    meta: bytes
    outcomes: tuple[bytes | None, ...]
    rolled_back: bool = False


@dataclass(frozen=True, slots=True)
class DelayedStep:
    """A step that waits since or until ``at_ms`` (epoch ms): for a place, for the time of its start, or for a retry."""

    index: int
    at_ms: float
    failures: int
    waits_for_place: bool
    waits_for_start: bool


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the ledger says of a run without its outcomes; ``plain`` holds its fields by name.

    ``unclaimed`` are the queues on which parallel steps of it wait, ``delayed`` the first of its steps that wait for
    something else than a worker.
    """

    now_ms: float
    plain: Mapping[str, str]
    unclaimed: tuple[str, ...]
    delayed: tuple[DelayedStep, ...]


@dataclass(frozen=True, slots=True)
class StepsCancelled:
    """The answer to cancelling steps: how many were, and what is to be published because of it."""

    count: int
    ready: tuple[Ready, ...]


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An entry of a run's stream: its id and its fields as text."""

    entry_id: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WorkerCard:
    """A live worker as its site sees it; ``info`` is its JSON: host, pid, slots, start; it holds so many ``claims``."""

    worker_id: str
    queue: str
    info: bytes
    claims: int = 0


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """A queue as the ledger sees it: unsettled steps, and when the oldest and newest run that has some was accepted."""

    pending: int
    oldest_ms: float | None
    newest_ms: float | None


@dataclass(frozen=True, slots=True)
class LaneFacts:
    """A lane that is in use: the run first in line, since when it is (epoch ms), and how many runs are in line."""

    lane: str
    holder: str
    since_ms: float
    in_line: int


@dataclass(frozen=True, slots=True)
class Beat:
    """What a keeper brings to a tick.

    ``mode`` is join, beat, leave or none; ``reap`` names workers by the beat last seen of them; ``dead_claims`` are
    (run:index, fence) of children that are gone; ``held`` is run:index of all that the worker knows it has claimed;
    ``published`` are (run, parcel) marks; ``runs`` are to be looked after now; ``received`` is run:parcel of messages
    that the worker has and has not acknowledged; ``came_out`` are (queue, probe) that it got or need not wait for.
    """

    worker_id: str = ""
    mode: str = "none"
    queue: str = ""
    info: str = "{}"
    known: Mapping[str, str] = field(default_factory=dict)
    reap: tuple[tuple[str, int], ...] = ()
    dead_claims: tuple[tuple[str, int], ...] = ()
    held: tuple[str, ...] = ()
    published: tuple[tuple[str, int], ...] = ()
    runs: tuple[str, ...] = ()
    received: tuple[str, ...] = ()
    came_out: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Ticked:
    """The answer to a tick: how the worker stands, what to publish, what may be lost, and when to come again.

    ``probes`` are (queue, probe): to be sent where the queue is not empty, as else all that was in it has come out.
    """

    standing: str
    ready: tuple[Ready, ...]
    maybe_lost: tuple[Ready, ...]
    unfinished: tuple[str, ...]
    next_due_s: float | None
    stops: tuple[tuple[str, int], ...]
    beats: Mapping[str, int]
    probes: tuple[tuple[str, int], ...] = ()
