"""How long and how often a step may try: the call says, else the step, else the settings."""

from config.settings import Settings
from producer.planning.batch_calls import BatchCall
from producer.planning.known_steps import Catalogue
from steps.backoff import Backoff
from steps.definition import StepFacts
from steps.ledger.records import SiteLimits
from steps.rate import Rate


class StepLimits:
    """The limits of the steps of one plan, looked up once for each name.

    Args:
        settings: With the defaults.
        catalogue: With what the steps declare.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._found: dict[tuple[str, bool], tuple[float, int, Backoff]] = {}
        self._over_site: dict[str, SiteLimits | None] = {}
        self._backoff = Backoff(
            settings.retry_backoff, settings.retry_delay_s, settings.retry_cap_s, settings.retry_jitter
        )

    def of(self, call: BatchCall, *, critical: bool) -> tuple[float, int, Backoff]:
        """Return time-out in seconds, retries and backoff of a call."""
        if (call.name, critical) not in self._found:
            self._found[call.name, critical] = self._of_step(call.name, critical=critical)
        timeout_s, retries, backoff = self._found[call.name, critical]
        return (
            timeout_s if call.timeout_s is None else call.timeout_s,
            retries if call.retries is None else call.retries,
            backoff,
        )

    def over_site(self, name: str) -> SiteLimits | None:
        """Return what the step declares for the whole site; None where it declares nothing."""
        if name not in self._over_site:
            declared = self._catalogue.declared(name) or StepFacts(name)
            rate = None if declared.rate is None else Rate.parse(declared.rate)
            starts, within_s = (None, None) if rate is None else (rate.starts, rate.within_s)
            limits = SiteLimits(name, declared.max_running, starts, within_s)
            self._over_site[name] = None if limits == SiteLimits(name) else limits
        return self._over_site[name]

    def _of_step(self, name: str, *, critical: bool) -> tuple[float, int, Backoff]:
        settings, declared = self._settings, self._catalogue.declared(name) or StepFacts(name)
        # What changes things is not tried twice, unless doing it twice does no harm.
        retries = settings.critical_retries if critical and not declared.idempotent else settings.retries
        return (
            settings.step_timeout_s if declared.timeout_s is None else declared.timeout_s,
            retries if declared.retries is None else declared.retries,
            declared.backoff or self._backoff,
        )
