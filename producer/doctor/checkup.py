"""A site's check-up: what can be seen from this machine, each finding with what to do about it."""

import importlib.metadata
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, Protocol

from config.settings import Settings
from producer.doctor.check_record import Check, ok, problem, warning
from producer.doctor.server_checks import (
    Facts,
    check_answer,
    check_clock,
    check_eviction,
    check_memory,
    check_persistence,
    check_rollbacks,
    check_version,
    server_name,
)
from producer.doctor.shown_settings import ShownSetting, masked_url, shown_settings
from producer.doctor.site_checks import check_broker, check_project, check_site, check_steps, check_workers
from producer.launcher.embedded import find_site
from producer.publish import Publisher, make_site_app
from steps.definition import StepFacts
from steps.errors import BrokerUnavailable
from steps.ledger import Ledger
from steps.ledger.connection import without_password
from steps.ledger.records import WorkerCard

PACKAGES: Final = ("stepline", "celery", "kombu", "redis", "hiredis", "pydantic", "flower")
"""Distributions whose versions matter."""

TRIES: Final = 3
"""Exchanges with Redis, the quickest of which counts: the first one also connects."""


class SiteView(Protocol):
    """What the checks ask of a site's records."""

    def server_facts(self) -> Mapping[str, Any]:
        """Return INFO."""

    def config_facts(self) -> Mapping[str, Any]:
        """Return what CONFIG says of persistence and eviction."""

    def workers(self) -> tuple[WorkerCard, ...]:
        """Return the live workers."""

    def rollbacks(self) -> tuple[int, float | None]:
        """Return how often the server came back older, and when it last did."""

    def known_steps(self) -> dict[str, bytes]:
        """Return the facts of the steps that workers listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """All that was found.

    Args:
        checks: In the order in which one would look into them.
        versions: Of our packages, of Python, and of the server where it was reached.
        settings: Those in force.
        has_broker: Whether Redis and the broker answer.
    """

    checks: tuple[Check, ...]
    versions: Mapping[str, str | None]
    settings: tuple[ShownSetting, ...]
    has_broker: bool

    @property
    def ok(self) -> bool:
        """Whether there is no problem; warnings are none."""
        return all(check.verdict != "problem" for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {
            "ok": self.ok,
            "checks": [check.as_dict() for check in self.checks],
            "versions": dict(self.versions),
            "settings": [setting.as_dict() for setting in self.settings],
        }


def check_up(settings: Settings, here: Mapping[str, StepFacts], *, import_problems: Sequence[str] = ()) -> Checkup:
    """Look at a site from this machine; changes nothing.

    Args:
        settings: Those in force.
        here: The steps registered in this process, by name.
        import_problems: What went wrong in importing step modules.
    """
    url = settings.redis_url or find_site(settings)
    local = [*check_project(settings, import_problems), check_site(settings, url)]
    if url is None:
        return _checkup(settings, local, server={}, has_broker=False)
    try:
        with closing(Ledger(settings, url=url)) as ledger:
            checks, facts = check_ledger(ledger.site, settings, here)
    except BrokerUnavailable as error:
        told = str(error).replace(without_password(url), masked_url(url))  # The query can hold a password too.
        unreachable = problem("redis", told, "start it, or correct STEPLINE_REDIS_URL")
        return _checkup(settings, [*local, unreachable], server={}, has_broker=False)
    with closing(Publisher(make_site_app(settings, url))) as publisher:
        broker = check_broker(settings, publisher.depth)
    return _checkup(settings, [*local, *checks, broker], server=facts, has_broker=broker.verdict == "ok")


def check_ledger(
    site: SiteView, settings: Settings, here: Mapping[str, StepFacts]
) -> tuple[list[Check], Mapping[str, Any]]:
    """Return the checks of a ledger's server, workers and steps, and what the server said of itself.

    Raises:
        BrokerUnavailable: It does not answer.
    """
    facts, took_ms, middle_s = _quickest_answer(site)
    cards = site.workers()
    known = {name: StepFacts.from_json(text) for name, text in site.known_steps().items()}
    checks = [
        check_answer(took_ms),
        check_version(facts),
        check_persistence(facts, site.config_facts()),
        check_rollbacks(*site.rollbacks(), middle_s, settings.result_ttl_s),
        check_eviction(facts),
        check_memory(facts, settings.memory_share),
        check_clock(facts, middle_s),
        *check_workers(settings, cards),
        check_steps(here, known if cards else {}),
    ]
    return checks, facts


def _checkup(settings: Settings, checks: Sequence[Check], *, server: Facts, has_broker: bool) -> Checkup:
    versions: dict[str, str | None] = {"python": platform.python_version()}
    versions |= {name: _version(name) for name in PACKAGES}
    if server:
        versions["server"] = server_name(server)
    return Checkup(
        checks=(_check_versions(versions), *checks),
        versions=versions,
        settings=shown_settings(settings),
        has_broker=has_broker,
    )


def _check_versions(versions: Mapping[str, str | None]) -> Check:
    found = ", ".join(
        f"{name} {version or '(not installed)'}" for name, version in versions.items() if name != "server"
    )
    if versions["flower"] is None:
        return warning("versions", found, "install flower where stepline flower or stepline up is to show the site")
    return ok("versions", found)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _quickest_answer(site: SiteView) -> tuple[Mapping[str, Any], float, float]:
    """Return INFO, how long it took in milliseconds, and this machine's time in the middle of that (epoch s)."""
    answers = []
    for _ in range(TRIES):
        began_s, began = time.time(), time.monotonic()
        facts = site.server_facts()
        took_s = time.monotonic() - began
        answers.append((took_s, began_s + took_s / 2, facts))
    took_s, middle_s, facts = min(answers, key=lambda answer: answer[0])
    return facts, took_s * 1000, middle_s
