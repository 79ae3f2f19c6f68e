"""A program that says which code a peer would run; it is run by the Python of any commit, on that commit's packages.

Its argument is a load as a peer gets it. It prints the folder of each package, and breaks where the commit has no
peer, or one that does not take such a load.
"""

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PACKAGES: Final = ("bench", "config", "steps", "producer", "workers")

PEER: Final = "bench.stepline_peer"


def main(arguments: Sequence[str]) -> None:
    """Print the folders as JSON."""
    importlib.import_module(PEER)
    importlib.import_module("bench.workloads").Load.decode(json.loads(arguments[0]))
    files = {name: importlib.import_module(name).__file__ for name in PACKAGES}
    print(json.dumps({name: str(Path(file or "").resolve().parent) for name, file in files.items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
