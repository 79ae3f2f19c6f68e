"""A peer for the benchmark that runs nothing; ``STUB_PEER`` says how it behaves, ``STUB_CHILD`` what it starts."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from bench.peer import serve
from bench.workloads import Load


class StubPeer:
    def __init__(self) -> None:
        self._behaviour = os.environ.get("STUB_PEER", "right")
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        print("what a library prints must not come between the answers")
        if self._behaviour == "stubborn":
            self._child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])

    def submit(self, load: Load) -> Load:
        return load

    def gather(self, handle: Load) -> Sequence[object]:
        return [None] if self._behaviour == "wrong" else handle.expected

    def workers(self) -> Mapping[str, int]:
        return {"own": os.getpid() if self._child is None else self._child.pid}

    def stop(self) -> None:
        if self._behaviour == "stubborn":
            signal.pause()


if __name__ == "__main__":
    serve(StubPeer())
