"""What is measured: batches of steps that only sleep, how often each is run, and what they are called."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

VIEW_MS: Final = (117, 19, 9, 117, 95, 88, 83, 79, 76, 70)
"""How long the steps of the ten-sleep view sleep, in milliseconds."""

PATIENCE_S: Final = 10.0
"""A workload is not repeated beyond this, so that a slow machine ends too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a peer is asked to run: one batch, again and again.

    Args:
        parallel_ms: How long each of the steps sleeps that may run side by side; 0: a no-op.
        ordered_ms: The same of the steps that run one at a time, in this order, beside the parallel ones.
        repeats: How many times the batch is run.
        open_at_once: How many of these may be under way together; with 1 each is timed by itself.
        max_concurrency: How many steps of a batch Stepline may run at once; None: as its settings say.
        is_bare: Whether plain Celery sends each step by itself rather than in a group.
    """

    parallel_ms: tuple[int, ...] = ()
    ordered_ms: tuple[int, ...] = ()
    repeats: int = 1
    open_at_once: int = 1
    max_concurrency: int | None = None
    is_bare: bool = False

    @property
    def expected(self) -> list[int]:
        """What the steps return, the ordered ones first: each its own milliseconds."""
        return [*self.ordered_ms, *self.parallel_ms]

    def encode(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    @classmethod
    def decode(cls, fields: Mapping[str, Any]) -> Self:
        """Return what `encode` made, after its way through JSON."""
        lists = {name: tuple(fields[name]) for name in ("parallel_ms", "ordered_ms")}
        return cls(**{**fields, **lists})


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A load with a name.

    Args:
        name: For ``--only`` and in the JSON.
        title: In the tables.
        load: What is run in each round.
        quick_repeats: The load's repeats with ``--quick``.
        has_limit: Whether the sleeps, not the peers, decide how fast it can be.
        raised_concurrency: Whether Stepline also runs it with its ``max_concurrency`` raised.
    """

    name: str
    title: str
    load: Load
    quick_repeats: int
    has_limit: bool = False
    raised_concurrency: bool = False

    @property
    def is_throughput(self) -> bool:
        """Whether steps a second are counted rather than the milliseconds of a batch."""
        return self.load.open_at_once > 1

    @property
    def limit_ms(self) -> int | None:
        """How long the batch takes when nothing but its sleeps takes time."""
        return max(sum(self.load.ordered_ms), *self.load.parallel_ms) if self.has_limit else None


WORKLOADS: Final = (
    Workload(
        name="view",
        title="ten-sleep view",
        load=Load(parallel_ms=VIEW_MS, repeats=15),
        quick_repeats=3,
        has_limit=True,
    ),
    Workload(name="noop1", title="1 no-op step", load=Load(parallel_ms=(0,), repeats=50), quick_repeats=10),
    Workload(name="noop10", title="10 no-op steps", load=Load(parallel_ms=(0,) * 10, repeats=30), quick_repeats=5),
    Workload(
        name="noop100",
        title="100 no-op steps",
        load=Load(parallel_ms=(0,) * 100, repeats=15),
        quick_repeats=5,
        raised_concurrency=True,
    ),
    Workload(
        name="noop1000",
        title="1000 no-op steps",
        load=Load(parallel_ms=(0,) * 1000, repeats=4),
        quick_repeats=1,
        raised_concurrency=True,
    ),
    Workload(
        name="ordered",
        title="10 ordered no-op steps",
        load=Load(ordered_ms=(0,) * 10, repeats=20),
        quick_repeats=5,
    ),
    Workload(
        name="mixed",
        title="4 ordered steps of 20 ms beside 6 of 60 ms",
        load=Load(ordered_ms=(20,) * 4, parallel_ms=(60,) * 6, repeats=15),
        quick_repeats=3,
        has_limit=True,
    ),
    Workload(
        name="throughput",
        title="batches of 100 no-op steps, 10 under way",
        load=Load(parallel_ms=(0,) * 100, repeats=200, open_at_once=10),
        quick_repeats=15,
    ),
)

WARM_UP: Final = (
    Load(parallel_ms=(0,), repeats=5),
    Load(parallel_ms=(0,) * 10, repeats=5),
    Load(parallel_ms=(20,) * 20, repeats=3),
    Load(parallel_ms=(0,) * 100, repeats=2),
    Load(ordered_ms=(0,) * 5, repeats=3),
)
"""What every peer runs before it is measured: connections, threads and children are there then."""
