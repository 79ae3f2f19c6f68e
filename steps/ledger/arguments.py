"""Writes what the scripts take: the pure half of the ledger that its replies are the other half of."""

from collections.abc import Mapping, Sequence

from config.settings import Settings
from steps.ledger.records import Beat, NewRun, SiteLimits, StepFate
from steps.ledger.replies import MICROSECONDS


def open_arguments(run: NewRun, *, inbox: str, marks: str, settings: Settings, seen: int) -> list[str | int]:
    """Return what open takes of a run before its fields.

    Args:
        run: What to open.
        inbox: Where the notice of its completion goes.
        marks: Of parcels published since the last call, see `marks_of`.
        settings: The site's.
        seen: The site's sequence when this client was last told.
    """
    lanes, queues = _counts_of(run)
    steps, parcels = len(run.calls) - run.has_body, len(run.parcels) - run.has_body
    return [
        run.run_id,
        inbox,
        settings.queue_limit,
        round(run.deadline_s * 1000),
        steps,
        run.critical_count,
        run.max_concurrency,
        settings.parcel_size,
        "c" if run.critical_first else "o",
        "b" if run.stops_at_failure else "s",
        run.critical_parcels,
        parcels,
        "1" if run.has_body else "",
        lanes,
        queues,
        marks,
        run.priority,
        ",".join(run.after),
        _lines_of(run.rules),
        run.key,
        run.digest,
        run.supersedes,
        "" if run.queue_timeout_s is None else round(run.queue_timeout_s * 1000),
        seen,
    ]


def fields_of(run: NewRun) -> list[str | int]:
    """Return the run's field and value pairs, flat, as open and stage take them."""
    fields: list[str | int] = ["meta", run.meta, "mode", run.mode]
    if run.name:
        fields += ("name", run.name)
    if run.limits:
        fields += ("lim", "1")
    for index, limits in run.limits.items():
        fields += (f"m{index}", _limits_text(limits))
    for number, parcel in enumerate(run.parcels):
        fields += (f"x{number}", f"{parcel.queue}\n{parcel.lane}\n{parcel.first}\n{parcel.last}")
    for index, call in enumerate(run.calls):
        fields += (f"d{index}", call)
    return fields


def _limits_text(limits: SiteLimits) -> str:
    within_us = "" if limits.within_s is None else round(limits.within_s * MICROSECONDS)
    most, starts = ("" if value is None else value for value in (limits.max_running, limits.starts))
    return f"{most}|{starts}|{within_us}|{limits.step}"


def _counts_of(run: NewRun) -> tuple[str, str]:
    """Return how many parcels each lane and how many steps each queue gets, as open's lines."""
    lanes: dict[str, int] = {}
    queues: dict[str, int] = {}
    for parcel in run.parcels[: len(run.parcels) - run.has_body]:
        if parcel.lane:
            lanes[parcel.lane] = lanes.get(parcel.lane, 0) + 1
        queues[parcel.queue] = queues.get(parcel.queue, 0) + parcel.last - parcel.first + 1
    return _lines_of(lanes), _lines_of(queues)


def _lines_of(counts: Mapping[str, int]) -> str:
    """Return counts by name as a script takes them."""
    return "\n".join(f"{name}\t{count}" for name, count in counts.items())


def fates_flat(fates: Sequence[StepFate]) -> list[str | int]:
    """Return fates as the settling scripts take them."""
    flat: list[str | int] = []
    for fate in fates:
        flat += (fate.index, fate.fence, fate.kind, fate.argument, fate.payload)
    return flat


def beat_flat(beat: Beat, known_json: str) -> list[str | int]:
    """Return a beat as tick takes it."""
    return [
        beat.worker_id,
        beat.mode,
        beat.queue,
        beat.info,
        known_json,
        "\n".join(f"{worker}\t{seen}" for worker, seen in beat.reap),
        "\n".join(f"{claim}\t{fence}" for claim, fence in beat.dead_claims),
        "\n".join(beat.held),
        marks_of(beat.published),
        "\n".join(beat.runs),
    ]


def news_of_queues(beat: Beat) -> tuple[str, str]:
    """Return a beat's received messages and the probes that came out as tick takes them."""
    return "\n".join(beat.received), "\n".join(f"{queue}\t{probe}" for queue, probe in beat.came_out)


def marks_of(published: Sequence[tuple[str, int]]) -> str:
    """Return marks of published parcels as the scripts take them."""
    return "\n".join(f"{run}:{parcel}" for run, parcel in published)
