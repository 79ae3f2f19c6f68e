"""The checks of a site beside its Redis server: where it is, its workers, their steps, its broker."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from config.errors import SettingsError
from config.settings import Settings
from producer.doctor.check_record import Check, listed, ok, problem, warning
from producer.doctor.shown_settings import masked_url
from producer.launcher.site_file import SITE_NAME, read_record
from steps.classifier import classifier_of
from steps.definition import StepFacts
from steps.ledger.records import WorkerCard

NO_SITE_ADVICE: Final = "start a site with stepline up, or name its Redis in STEPLINE_REDIS_URL"
WORKER_ADVICE: Final = "stepline up starts workers for every queue, stepline worker --queue {queue} one more"

Depth = Callable[[str], int | None]
"""How many messages wait in a queue; None where the broker does not say."""


def check_project(settings: Settings, import_problems: Sequence[str]) -> Iterator[Check]:
    """Say whether what this process reads for itself is sound: classification rules and step modules."""
    try:
        classifier_of(settings)
    except SettingsError as error:
        yield problem("rules", str(error), "correct the rules file, or remove STEPLINE_RULES_FILE")
    for text in import_problems:
        yield problem("step modules", text, "correct the module, or STEPLINE_STEP_MODULES")


def check_site(settings: Settings, url: str | None) -> Check:
    """Say which site it is; ``url`` is its Redis, None where none was found."""
    if settings.redis_url:
        return ok("site", f"the Redis of STEPLINE_REDIS_URL, {masked_url(settings.redis_url)}")
    folder = settings.data_dir.absolute()
    record = read_record(folder)
    if url is not None and record is not None:
        return ok("site", f"up in {folder}, process {record.pid}")
    if record is not None:
        found = f"process {record.pid} owns {folder} and its Redis does not answer"
        return problem(
            "site", found, f"look at {folder / 'redis' / 'redis.log'}; end that process and start the site again"
        )
    if (folder / SITE_NAME).exists():
        return problem("site", f"stale: the process that {folder / SITE_NAME} names is gone", NO_SITE_ADVICE)
    return problem("site", f"none is up in {folder}", NO_SITE_ADVICE)


def check_workers(settings: Settings, cards: Sequence[WorkerCard]) -> Iterator[Check]:
    """Say of each queue how many live workers it has, and of others that these settings do not name."""
    for queue in settings.queues:
        slots = [int(json.loads(card.info).get("slots", 1)) for card in cards if card.queue == queue.name]
        name = f"workers of {queue.name}"
        if slots:
            yield ok(name, f"{len(slots)} live, {sum(slots)} slots")
        else:
            yield problem(name, "none is live", WORKER_ADVICE.format(queue=queue.name))
    ours = {queue.name for queue in settings.queues}
    if others := sorted({card.queue for card in cards} - ours):
        found = f"live workers work on {listed(others)}, which these settings do not name"
        yield warning("other queues", found, "give all parts of the site the same STEPLINE_QUEUES")


def check_steps(here: Mapping[str, StepFacts], on_workers: Mapping[str, StepFacts]) -> Check:
    """Say which steps are known here and not on workers, the other way round, or differently."""
    found = f"{len(here)} registered here, {len(on_workers)} known to workers"
    only_there = sorted(set(on_workers) - set(here))
    if only_there:
        found += f"; only there: {listed(only_there)}"
    only_here = sorted(set(here) - set(on_workers))
    changed = sorted(name for name in here if name in on_workers and here[name] != on_workers[name])
    if only_here:
        found += f"; no live worker knows {listed(only_here)}"
    if changed:
        found += f"; declared otherwise there: {listed(changed)}"
    if not only_here and not changed:
        return ok("steps", found)
    return warning("steps", found, "start the workers with the code and the STEPLINE_STEP_MODULES of this process")


def check_broker(settings: Settings, depth: Depth) -> Check:
    """Say whether the broker takes and gives messages, and how many wait in each queue."""
    where = masked_url(settings.broker_url) if settings.broker_url else "the same Redis"
    waiting: dict[str, int] = {}
    try:
        for queue in settings.queues:
            messages = depth(queue.name)
            if messages is None:
                return problem("broker", f"{where} does not answer", "start it, or correct STEPLINE_BROKER_URL")
            waiting[queue.name] = messages
    except Exception as error:  # noqa: BLE001  # Each transport has errors of its own.
        return problem("broker", f"{where}: {type(error).__name__}: {error}", "correct STEPLINE_BROKER_URL")
    told = ", ".join(f"{count} in {name}" for name, count in waiting.items())
    return ok("broker", f"{where}; messages that wait: {told}")
