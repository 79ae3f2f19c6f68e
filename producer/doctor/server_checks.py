"""The checks of a Redis server, over what it says of itself: pure functions of its INFO and CONFIG."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from config.limits import OLDEST_REDIS
from producer.doctor.check_record import Check, ok, problem, warning

Facts: TypeAlias = Mapping[str, Any]

SLOW_MS: Final = 20.0
"""A round trip from which on short steps take noticeably longer: each needs several."""

CLOCK_WARNING_S: Final = 1.0
CLOCK_PROBLEM_S: Final = 60.0
"""Run ids carry the time of the machine that submits; what is shown and purged goes by that of Redis."""

MEMORY_WARNING: Final = 0.8
MEMORY_PROBLEM: Final = 0.95
"""Shares of the memory a server may use."""

_MIB: Final = 1 << 20


def check_answer(took_ms: float) -> Check:
    """Say how long the server took to answer."""
    found = f"answers in {took_ms:.1f} ms"
    if took_ms < SLOW_MS:
        return ok("redis", found)
    return warning("redis", found, "put Redis nearer to the producers and workers, or look at what keeps it busy")


def server_name(facts: Facts) -> str:
    """Return name and version of the server: ``redis 7.0.15``."""
    if "valkey_version" in facts:
        return f"valkey {facts['valkey_version']}"
    return f"redis {facts.get('redis_version', '(no version)')}"


def check_version(facts: Facts) -> Check:
    """Say whether the server is new enough and no cluster."""
    name = server_name(facts)
    oldest = ".".join(map(str, OLDEST_REDIS))
    if "cluster" in (facts.get("redis_mode"), facts.get("server_mode")):
        return problem("server", f"{name}, a Cluster", "name a single Redis: scripts reach several runs and lanes")
    if _version_of(name) < OLDEST_REDIS:
        return problem("server", name, f"install Redis or Valkey {oldest} or newer")
    return ok("server", name)


def check_persistence(facts: Facts, config: Facts) -> Check:
    """Say what a restart of the server would lose.

    Args:
        facts: Of INFO.
        config: ``appendonly``, ``appendfsync`` and ``save``; empty where the server does not tell.
    """
    if failure := _write_failure(facts):
        return problem(
            "persistence", failure, "look at the server's log and at its disk: writes may be refused or lost"
        )
    if facts.get("aof_enabled"):
        return _check_append_only(str(config.get("appendfsync", "")))
    if config and not config.get("save"):
        return problem(
            "persistence", "none: a restart loses every run", "set appendonly yes (and appendfsync everysec or always)"
        )
    return warning(
        "persistence",
        "snapshots only: a restart loses what came after the last one",
        "set appendonly yes on the server",
    )


def check_eviction(facts: Facts) -> Check:
    """Say whether the server may throw keys away."""
    policy = str(facts.get("maxmemory_policy", "not told"))
    if policy in {"noeviction", "not told"}:
        return ok("eviction", policy)
    return problem("eviction", policy, "set maxmemory-policy noeviction: a key that is evicted is a run that is lost")


def check_memory(facts: Facts, share: float) -> Check:
    """Say how much memory the server uses, of what it may.

    Args:
        facts: Of INFO.
        share: The part of its limit from which on new runs are refused.
    """
    limit = int(facts.get("maxmemory", 0))
    used = int(facts.get("used_memory", 0)) - int(facts.get("mem_not_counted_for_evict", 0) if limit else 0)
    available = limit or int(facts.get("total_system_memory", 0))
    whose = "its maxmemory" if limit else "the machine's memory"
    if not available:
        return ok("memory", f"{used / _MIB:.1f} MiB used")
    found = f"{used / _MIB:.1f} MiB used of {available / _MIB:,.0f} MiB ({whose})"
    advice = "purge completed runs, lower STEPLINE_RESULT_TTL_S, or give the server more memory"
    if limit and used >= share * limit:
        return problem("memory", f"{found}: new runs are refused from {share:.0%} on", advice)
    if used >= MEMORY_PROBLEM * available:
        return problem("memory", found, advice)
    return warning("memory", found, advice) if used >= MEMORY_WARNING * available else ok("memory", found)


def check_rollbacks(times: int, last_ms: float | None, now_s: float, kept_s: float) -> Check:
    """Say whether the server came back with older data, or none.

    Args:
        times: How often it was seen to.
        last_ms: When that was seen last, in milliseconds since 1970.
        now_s: This machine's time.
        kept_s: How long what was touched by it is kept.
    """
    if last_ms is None:
        return ok("rollbacks", "Redis never came back with older data")
    last = datetime.fromtimestamp(last_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = f"Redis came back with older data {'once' if times == 1 else f'{times} times'}, last at {last}"
    if now_s - last_ms / 1000 > kept_s:
        return ok("rollbacks", found)
    advice = "runs of the time before are lost or rolled back: look at stepline runs; appendfsync always loses nothing"
    return warning("rollbacks", found, advice)


def check_clock(facts: Facts, now_s: float) -> Check:
    """Say how far this machine's clock is from the server's.

    Args:
        facts: Of INFO.
        now_s: This machine's time in the middle of the exchange, in seconds since 1970.
    """
    server_us = facts.get("server_time_usec")
    if server_us is None:
        return ok("clock", "the server does not tell its time")
    ahead_s = now_s - int(server_us) / 1e6
    found = f"this machine is {abs(ahead_s):.3f} s {'ahead of' if ahead_s > 0 else 'behind'} Redis"
    advice = "let both machines follow the same time source (NTP)"
    if abs(ahead_s) >= CLOCK_PROBLEM_S:
        return problem("clock", found, advice)
    return warning("clock", found, advice) if abs(ahead_s) >= CLOCK_WARNING_S else ok("clock", found)


def _check_append_only(fsync: str) -> Check:
    match fsync:
        case "always":
            return ok("persistence", "append-only file, written at every change: a restart loses nothing")
        case "no":
            return warning(
                "persistence", "append-only file, written when the system likes", "set appendfsync everysec or always"
            )
        case "everysec":
            return ok("persistence", "append-only file, written every second: a crash can lose up to a second")
        case _:
            return ok("persistence", "append-only file; the server does not tell how often it is written")


def _write_failure(facts: Facts) -> str | None:
    writes = {"aof_last_write_status": "the append-only file", "rdb_last_bgsave_status": "a snapshot"}
    failed = [what for name, what in writes.items() if facts.get(name, "ok") != "ok"]
    return f"the last write of {' and of '.join(failed)} failed" if failed else None


def _version_of(name: str) -> tuple[int, ...]:
    numbers = name.partition(" ")[2].split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdecimal())
