"""The ledger's Lua scripts, each put together from the parts it stands on."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from steps.ledger.keys import lua_names

_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "stage": ("run", "room"),
    "open": ("run", "lanes", "flow", "limits", "room"),
    "claim": ("run", "lanes", "flow", "limits", "claiming"),
    "settle": ("run", "lanes", "flow", "limits", "settling"),
    "settle_and_claim_next": ("run", "lanes", "flow", "limits", "claiming", "settling"),
    "vacate": ("run", "lanes", "flow", "limits", "settling"),
    "watch": ("run", "lanes", "flow", "limits", "settling", "reaping"),
    "read": ("run",),
    "status": ("run", "lanes", "flow", "limits"),
    "cancel": ("run", "lanes", "flow", "limits"),
    "cancel_steps": ("run", "lanes", "flow", "limits"),
    "pause": ("run", "lanes", "flow", "limits"),
    "resume": ("run", "lanes", "flow", "limits"),
    "purge": ("run",),
    "begin_epoch": ("run",),
    "tick": ("run", "lanes", "flow", "limits", "settling", "reaping"),
}

_ONLY_READS: Final = ("read", "status")

_VERB: Final = "\nlocal function verb(ARGV)\nenter(ARGV[1], ARGV[2])\n"
"""Between what a verb stands on and what it does: a function of its own, as Lua allows 200 local names in each."""

_CALL: Final = "\nend\nreturn verb(ARGV)\n"


@dataclass(frozen=True, slots=True)
class Script:
    """A verb of the ledger: its Lua text, and the digest that EVALSHA and its function are named by."""

    name: str
    text: str
    digest: str

    @property
    def function(self) -> str:
        """What the verb is called as a function: releases with other texts may serve one site."""
        return f"stepline_{self.digest}"

    @property
    def library(self) -> str:
        """The verb as a library of one function (Redis 7): its parts are set up once and not in every call.

        A server that is full lets them all write: what was accepted goes on, and what would add a run looks for itself.
        """
        flag = "no-writes" if self.name in _ONLY_READS else "allow-oom"
        callback = "function(KEYS, ARGV) return verb(ARGV) end"
        register = (
            f"redis.register_function{{function_name='{self.function}', callback={callback}, flags={{'{flag}'}}}}"
        )
        return f"#!lua name={self.function}\n{self.text.removesuffix(_CALL)}\nend\n{register}\n"


def _put_together(name: str, parts: tuple[str, ...]) -> Script:
    folder = files("steps.ledger.scripts")
    texts = [lua_names(), *((folder / f"{part}.lua").read_text() for part in parts)]
    text = "\n".join(texts) + _VERB + (folder / f"{name}.lua").read_text() + _CALL
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


SCRIPTS: Final = {name: _put_together(name, parts) for name, parts in _PARTS.items()}
