"""Clients that ask the example backend for views all at once, in a process of their own, which nobody traces.

Usage: ``python -m tests.support.view_load PORT CLIENTS REQUESTS_EACH``; prints the milliseconds of each request.
"""

import http.client
import itertools
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

PATIENCE_S = 30


def times_of_client(port: int, session_id: str, requests: int, at_once: threading.Barrier) -> list[float]:
    # The plainest client there is: what it costs itself is taken from what it measures.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    at_once.wait(PATIENCE_S)
    times_ms = []
    for _ in range(requests):
        began_s = time.perf_counter()
        connection.request("GET", f"/views/session?session_id={session_id}")
        answer = connection.getresponse()
        document = answer.read()
        times_ms.append((time.perf_counter() - began_s) * 1000)
        assert answer.status == 200
        assert json.loads(document)["ok"], document
    connection.close()
    return times_ms


def main(port: int, clients: int, requests: int) -> None:
    at_once = threading.Barrier(clients)
    with ThreadPoolExecutor(clients) as threads:
        times = threads.map(lambda number: times_of_client(port, str(number), requests, at_once), range(clients))
        print(json.dumps(list(itertools.chain(*times))))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
