"""Checks and small normalisations of single settings; each raises ValueError with the reason."""

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

A_LOGIN: Final = "NAME:PASSWORD in printable ASCII, or nothing"

REDIS_SCHEMES: Final = ("redis", "rediss", "unix")


def upper(value: object) -> object:
    """Return text in capitals, so that ``info`` means ``INFO``."""
    return value.upper() if isinstance(value, str) else value


def redis_url(url: str | None) -> str | None:
    """Return the URL of a Redis if it can be one."""
    if url is not None:
        parts = urlsplit(url)
        if parts.scheme not in REDIS_SCHEMES:
            raise ValueError(f"the scheme is {parts.scheme!r}")
        if parts.scheme == "unix" and not parts.path.startswith("/"):
            raise ValueError("unix:// takes an absolute path, as unix:///run/redis.sock")
        if parts.scheme != "unix" and not parts.hostname:
            raise ValueError("it names no host")
        _check_port(url)
    return url


def broker_url(url: str | None) -> str | None:
    """Return the URL of a broker if it can be one; Celery knows many schemes, so only the form is checked."""
    if url is not None:
        if "://" not in url or not urlsplit(url).scheme:
            raise ValueError("it has no scheme")
        _check_port(url)
    return url


def whole_path(path: object) -> object:
    """Return the path from the root, with ``~`` resolved: workers may run in another folder."""
    if path == "":
        raise ValueError("it is empty")
    return Path(path).expanduser().absolute() if isinstance(path, str | Path) else path


def module_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names if each can be imported by its form."""
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"{name!r} is no module name")
    return names


def no_control_characters(text: str) -> str:
    """Return the text if it can be shown on one line."""
    if not text.isprintable():
        raise ValueError("it holds a control character")
    return text


def address(text: str) -> str:
    """Return the address, without the brackets that an IPv6 address has in URLs, if it can be one."""
    bare = text.removeprefix("[").removesuffix("]")
    if not bare or not bare.isprintable() or set(bare) & set(" /@?#"):
        raise ValueError("no host is named so")
    return bare


def is_loopback(address: str) -> bool:
    """Return whether only this machine reaches what listens on an address; a name other than localhost may be any."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def login(text: str | None) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with Flower's login, without showing it."""
    if text is None:
        return
    name, _, password = text.partition(":")
    if not name or not password or not text.isascii() or not text.isprintable():
        yield "flower_basic_auth", f"what it holds is not allowed; allowed is {A_LOGIN}"


def _check_port(url: str) -> None:
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        raise ValueError(str(error)) from None
