"""What critical steps change: a target that keeps the highest fence of each lane and takes every effect key once.

An accepted effect is one file, made whole by a link, so that no kill leaves half of it.
"""

import fcntl
import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

EFFECTS = "effects"
FENCES = "fences"


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect that was accepted; ``key`` is what the step gave as its idempotency key."""

    key: str
    run: str
    step: str
    lane: str
    attempt: int
    fence: int
    pid: int
    at_s: float


def take(folder: str | Path, *, key: str, run: str, step: str, lane: str, attempt: int, fence: int) -> bool:
    """Accept an effect, or refuse one whose fence is too old or whose key was there; returns whether it was accepted.

    Args:
        folder: Of the target.
        key: The idempotency key.
        run: The run's id.
        step: The step's id.
        lane: Whose fences are compared; empty: none are.
        attempt: Which start of the step it is.
        fence: Of the claim.
    """
    root = Path(folder)
    (root / EFFECTS).mkdir(exist_ok=True)
    effect = Effect(key, run, step, lane, attempt, fence, os.getpid(), time.monotonic())
    return _accept(root, effect) if not lane or _is_newest(root, lane, fence) else False


def _is_newest(root: Path, lane: str, fence: int) -> bool:
    (root / FENCES).mkdir(exist_ok=True)
    with (root / FENCES / _name(lane)).open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if fence < int(file.read() or "0"):
            return False
        file.truncate(0)
        file.write(str(fence))
        return True


def _accept(root: Path, effect: Effect) -> bool:
    path = root / EFFECTS / _name(effect.key)
    draft = root / EFFECTS / f"draft-{os.getpid()}-{effect.fence}"
    draft.write_text(json.dumps(asdict(effect)))
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _name(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def read_effects(folder: str | Path) -> tuple[Effect, ...]:
    """Return all effects that were accepted, oldest first."""
    found = Path(folder) / EFFECTS
    paths = [path for path in found.iterdir() if not path.name.startswith("draft-")] if found.exists() else []
    return tuple(sorted((Effect(**json.loads(path.read_text())) for path in paths), key=lambda effect: effect.at_s))
