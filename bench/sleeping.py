"""The body of every step, the same for all peers."""

import time


def sleep(ms: int) -> int:
    """Sleep ``ms`` milliseconds (0: not at all) and return them."""
    if ms:
        time.sleep(ms / 1000)
    return ms
