"""Who owns a data folder: a lock that one site holds, and ``site.json``, which says where that site is."""

import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from config.errors import SettingsError
from producer.launcher.sessions import is_alive
from producer.launcher.site_errors import SiteBusy

PRIVATE_FOLDER: Final = 0o700
"""Mode of the data folder: whoever can open the socket can run steps."""

LOCK_NAME: Final = "site.lock"
SITE_NAME: Final = "site.json"

TAKE_OVER_S: Final = 10.0
"""How long a new site waits for the server of a dead one to end."""

LOCK_PAUSE_S: Final = 0.05
"""Between two tries for the lock: flock has no time-out."""


@dataclass(frozen=True, slots=True)
class SiteRecord:
    """Where a site is: the URL of its Redis and the pid of the process that started it."""

    url: str
    pid: int


def read_record(data_dir: Path) -> SiteRecord | None:
    """Return the record of a site whose process lives; None if there is none, or it is stale or broken."""
    try:
        fields = json.loads((data_dir / SITE_NAME).read_text())
        record = SiteRecord(url=str(fields["url"]), pid=int(fields["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if is_alive(record.pid) else None


class Ownership:
    """The lock on a data folder. A site holds it, and so does its Redis (``descriptor`` is handed down).

    So when a site is killed, the next one waits until the old server has written its files and ended.
    """

    def __init__(self, data_dir: Path, descriptor: int) -> None:
        self._data_dir = data_dir
        self.descriptor = descriptor

    @classmethod
    def take(cls, data_dir: Path) -> Self:
        """Lock the folder, making it where it is missing.

        Raises:
            SiteBusy: Another site has it.
            SettingsError: It cannot be written to.
        """
        descriptor = _open_lock(data_dir)
        try:
            _lock(descriptor, data_dir)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(data_dir, descriptor)

    def announce(self, url: str) -> None:
        """Write ``site.json``: whole or not at all, readable by this user only."""
        new = self._data_dir / f"{SITE_NAME}.new"
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"url": url, "pid": os.getpid()}, file)
        new.replace(self._data_dir / SITE_NAME)

    def withdraw(self) -> None:
        """Remove ``site.json``: nobody joins any more."""
        (self._data_dir / SITE_NAME).unlink(missing_ok=True)

    def release(self) -> None:
        """Give the folder up."""
        self.withdraw()
        os.close(self.descriptor)


def _open_lock(data_dir: Path) -> int:
    try:
        data_dir.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        return os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SettingsError(
            f"STEPLINE_DATA_DIR: {data_dir} cannot be used ({error.strerror}); name a folder that you may write to"
        ) from error


def _lock(descriptor: int, data_dir: Path) -> None:
    give_up_at = time.monotonic() + TAKE_OVER_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = read_record(data_dir)
            if owner is not None or time.monotonic() > give_up_at:
                raise SiteBusy(_busy(data_dir, owner)) from None
            time.sleep(LOCK_PAUSE_S)
        else:
            return


def _busy(data_dir: Path, owner: SiteRecord | None) -> str:
    who = f"process {owner.pid}" if owner else "another process that is starting or stopping"
    return (
        f"{data_dir} belongs to the site of {who}. Use that site (stepline run joins it), stop it, "
        "or name another folder with STEPLINE_DATA_DIR."
    )
