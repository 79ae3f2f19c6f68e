"""The settings in force, with the source of each, as they may be shown: without passwords."""

from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from config.setting_sources import Source
from config.settings import Settings

MASK: Final = "***"

SECRET_WORDS: Final = ("auth", "password", "secret", "token")
"""A setting with one of them in its name is shown by whether it is set."""

OPEN_PARAMETERS: Final = ("db", "virtual_host", "ssl_cert_reqs", "ssl_check_hostname")
"""Parameters of a URL that are shown; any other could be a password or a path to a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSetting:
    """A setting as it may be shown.

    Args:
        name: Of the field; its variable is ``STEPLINE_`` and the name in capitals.
        value: As JSON takes it; passwords are masked.
        source: Where it came from.
    """

    name: str
    value: Any
    source: Source

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return asdict(self)


def shown_settings(settings: Settings) -> tuple[ShownSetting, ...]:
    """Return all settings in the order of their fields."""
    values = settings.model_dump(mode="json")
    return tuple(
        ShownSetting(name=name, value=_shown(name, values[name]), source=settings.source(name)) for name in values
    )


def masked_url(url: str) -> str:
    """Return a URL without user, password and whatever parameter could hold one."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    query = [(key, value if key in OPEN_PARAMETERS else MASK) for key, value in parse_qsl(parts.query)]
    # Not by geturl, which writes unix:/run/redis.sock.
    where = f"{parts.scheme}://{MASK if user else ''}{at}{host}{parts.path}"
    return f"{where}?{urlencode(query, safe='*')}" if query else where


def _shown(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name.endswith("_url"):
        return masked_url(str(value))
    return MASK if any(word in name for word in SECRET_WORDS) else value
