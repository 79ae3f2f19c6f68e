"""Stands for a worker where only starting and stopping is tested: it reports live and has a family.

Run as ``stub_worker.py REDIS_URL QUEUE NAME BEHAVIOUR``; a behaviour is ``obeys``, ``deaf`` or ``fails``.
"""

import signal
import subprocess
import sys

import redis

LIVE = "stub:live"
"""Hash of live stubs: name to queue."""


def live_workers(url: str) -> dict[str, int]:
    """Count the live stubs by queue."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        queues = list(client.hgetall(LIVE).values())
    return {queue: queues.count(queue) for queue in set(queues)}


def main(url: str, queue: str, name: str, behaviour: str) -> int:
    """Live until SIGTERM."""
    if behaviour == "fails":
        sys.stderr.write("the stub cannot start\n")
        return 2
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    pause = [sys.executable, "-c", "import signal; signal.pause()"]
    subprocess.Popen(pause)
    subprocess.Popen(pause, start_new_session=True)
    with redis.Redis.from_url(url) as client:
        client.hset(LIVE, name, queue)
        while signal.sigwait([signal.SIGTERM]) and behaviour == "deaf":
            pass
        client.hdel(LIVE, name)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
