"""The ledger's Lua scripts, each put together from the parts it stands on."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from steps.ledger.keys import lua_names

_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "stage": (),
    "open": ("run", "flow", "limits"),
    "claim": ("run", "flow", "limits", "claiming"),
    "settle": ("run", "flow", "limits", "settling"),
    "settle_and_claim_next": ("run", "flow", "limits", "claiming", "settling"),
    "vacate": ("run", "flow", "limits", "settling"),
    "watch": ("run", "flow", "limits", "settling", "reaping"),
    "read": ("run",),
    "status": ("run", "flow", "limits"),
    "cancel": ("run", "flow", "limits"),
    "cancel_steps": ("run", "flow", "limits"),
    "pause": ("run", "flow", "limits"),
    "resume": ("run", "flow", "limits"),
    "purge": ("run",),
    "tick": ("run", "flow", "limits", "settling", "reaping"),
}


@dataclass(frozen=True, slots=True)
class Script:
    """A verb of the ledger: its Lua text and the digest EVALSHA names it by."""

    name: str
    text: str
    digest: str


def _put_together(name: str, parts: tuple[str, ...]) -> Script:
    folder = files("steps.ledger.scripts")
    texts = [lua_names()] + [(folder / f"{part}.lua").read_text() for part in (*parts, name)]
    text = "\n".join(texts)
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


SCRIPTS: Final = {name: _put_together(name, parts) for name, parts in _PARTS.items()}
