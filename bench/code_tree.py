"""Where a peer's code comes from: the working tree, or another commit of the project in a scratch folder."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import code_check
from bench.peer_process import peer_environment
from bench.workloads import Load
from config.errors import SteplineError
from producer.launcher.worker_process import PACKAGE_ROOT

CHECK_TIMEOUT_S: Final = 60.0

NO_REDIS: Final = "unix:///nowhere"
"""For code that is only looked at."""


class CannotCompare(SteplineError):
    """A commit cannot be compared with the working tree; the text says why and what can be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTree:
    """A folder with the packages of the project, and the Python that has what they need.

    Args:
        root: The folder.
        python: The interpreter.
        commit: What the folder was checked out from; of the working tree, what it is based on. Empty: not known.
        is_changed: Whether the folder holds changes that are in no commit.
    """

    root: Path = PACKAGE_ROOT
    python: Path = field(default_factory=lambda: Path(sys.executable))
    commit: str = ""
    is_changed: bool = False

    def packages(self) -> dict[str, str]:
        """Start its Python as a peer's is started, and return where it finds each of our packages.

        Raises:
            CannotCompare: It has no benchmark of the form that today's can speak to, or takes a package from elsewhere.
        """
        found = self._found()
        strays = [f"{name} from {place}" for name, place in found.items() if Path(place).parent != self.root]
        if strays:
            raise CannotCompare(f"the code of {self.root} would not be what runs: Python takes {', '.join(strays)}")
        return found

    def _found(self) -> dict[str, str]:
        load = json.dumps(Load(parallel_ms=(0,), ordered_ms=(0,)).encode())
        checked = subprocess.run(
            [str(self.python), "-P", code_check.__file__, load],
            env=peer_environment(self.root, NO_REDIS, root=self.root),
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CHECK_TIMEOUT_S,
            check=False,
        )
        if checked.returncode != 0:
            reason = (checked.stderr.strip().splitlines() or ["no reason was told"])[-1]
            raise CannotCompare(
                f"{self.commit or self.root} cannot be compared: its bench/ does not run or does not take today's "
                f"workloads; name a later commit ({reason})"
            )
        found: dict[str, str] = json.loads(checked.stdout)
        return found
