"""Refuses to run when a foreign package stands on the import path under the name of one of ours.

The names ``config``, ``steps``, ``producer`` and ``workers`` are common. Without this, a project with a
``config`` of its own would get half of its code and half of ours, and errors that explain nothing.
"""

from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Final

OUR_PACKAGES: Final = ("config", "steps", "producer", "workers")
OUR_FOLDER: Final = Path(__file__).resolve().parent.parent


def refuse_foreign() -> None:
    """Check where each of our names leads.

    Raises:
        ImportError: One leads elsewhere; the text names both places.
    """
    for name in OUR_PACKAGES:
        spec = find_spec(name)
        places = [] if spec is None else _places(spec)
        if places and OUR_FOLDER / name not in places:
            raise ImportError(
                f"{places[0]} shadows Stepline's {OUR_FOLDER / name}: rename it, or put Stepline first on the"
                " import path",
                name=name,
            )


def _places(spec: ModuleSpec) -> list[Path]:
    found = spec.submodule_search_locations or [spec.origin or ""]
    return [Path(place).resolve() for place in found]
