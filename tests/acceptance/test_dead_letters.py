"""Messages that nobody understands: real workers set them aside, live on, and take the next."""

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence

import psutil
import pytest
import redis
from celery import Celery

from config.broker import broker_prefix
from producer.publish import make_site_app
from steps.ledger import Ledger
from steps.ledger.dead_letter import DeadLetter
from steps.ledger.keys import dead_letters_key
from steps.ledger.site_records import DEAD_LETTERS_KEPT
from tests.support.broken_frames import COMMANDS, FRAMES, HARMLESS, MESSAGES, PROBE, Broken, frame_bytes, fuzzed
from tests.support.processes import ROOT, wait_until
from tests.support.worker_sites import WorkerSite

STEPS = {"critical": "WriteEchoStep", "parallel": "GetEchoStep"}
"""Of each queue, one that runs there."""

FUZZED, FLOOD = 3_000, 5_000
MOST_GROWTH_BYTES = 20 << 20
MOST_LINES_A_KIND = 5
"""One a minute; this file takes less than one."""


class BrokenMail:
    """What a site gets and what it sets aside.

    Args:
        site: With one worker a queue.
    """

    def __init__(self, site: WorkerSite) -> None:
        self.site = site
        self.ledger = Ledger(site.settings, url=site.url)
        self.client = redis.Redis.from_url(site.url)
        self.prefix = broker_prefix(site.settings)

    def push(self, queue: str, *raw: bytes) -> None:
        self.client.lpush(f"{self.prefix}{queue}", *raw)

    def letters(self, queue: str) -> list[DeadLetter]:
        return [letter for letter in self.ledger.site.dead_letters() if letter.queue == queue]

    def forget(self) -> None:
        """Forget what was set aside, and what the workers have yet to write down."""
        last = secrets.token_bytes(8)
        self.push("critical", last)
        self.push("parallel", last)
        wait_until(lambda: [letter.raw for letter in self.ledger.site.dead_letters()].count(last) == len(STEPS))
        self.client.delete(dead_letters_key(self.site.settings.key_prefix))

    def pids(self) -> dict[str, int | None]:
        return {queue: self.site.worker(f"{queue}-1").pid for queue in STEPS}

    def nothing_waits(self) -> bool:
        """Whether all was taken from the queues: a worker takes no more than it may leave unacknowledged."""
        return not self.client.exists(*[f"{self.prefix}{queue}" for queue in STEPS])

    def close(self) -> None:
        self.client.close()
        self.ledger.close()


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokenMail]:
    site = WorkerSite(tmp_path_factory.mktemp("letters"), scale={}, variables={})
    site.start()
    opened = BrokenMail(site)
    yield opened
    opened.close()
    site.stop()


@pytest.fixture(autouse=True)
def _lives_on(mail: BrokenMail) -> Iterator[None]:
    """After each test, the same processes run what is submitted, and the broker is empty."""
    mail.forget()
    before = mail.pids()
    yield
    assert mail.site.producer.run(list(STEPS.values()), timeout=20).ok
    wait_until(mail.nothing_waits)
    assert mail.pids() == before


@pytest.mark.parametrize("queue", STEPS)
def test_each_kind_is_set_aside_with_its_reason_and_the_next_run_succeeds(mail: BrokenMail, queue: str) -> None:
    pids = mail.pids()
    for broken in (*FRAMES, *MESSAGES):
        mail.push(queue, broken.raw)
        assert mail.site.producer.run([STEPS[queue]], timeout=20).ok, broken
    wait_until(lambda: len(mail.letters(queue)) == len(FRAMES) + len(MESSAGES))
    for broken, letter in zip((*FRAMES, *MESSAGES), reversed(mail.letters(queue)), strict=True):
        assert_told(broken, letter)
    assert mail.pids() == pids


def assert_told(broken: Broken, letter: DeadLetter) -> None:
    assert broken.reason in letter.reason, broken
    assert letter.worker.startswith(letter.queue)
    assert len(letter.raw) <= 4096
    if broken in FRAMES:
        assert (letter.size, letter.raw) == (len(broken.raw), broken.raw[:4096])


@pytest.mark.parametrize("queue", STEPS)
def test_what_is_understood_is_never_set_aside(mail: BrokenMail, queue: str) -> None:
    mail.push(queue, frame_bytes(), *HARMLESS, PROBE, b"the last one")
    wait_until(lambda: len(mail.letters(queue)) > 0)
    wait_until(mail.nothing_waits)
    assert [letter.raw for letter in mail.letters(queue)] == [b"the last one"]


@pytest.mark.parametrize("queue", STEPS)
def test_frames_broken_at_random_end_no_worker(mail: BrokenMail, queue: str) -> None:
    for at in range(0, FUZZED, 500):
        mail.push(queue, *fuzzed(at, 500))
        assert mail.site.producer.run([STEPS[queue]], timeout=20).ok
    wait_until(mail.nothing_waits, timeout_s=30)
    wait_until(lambda: len(mail.letters(queue)) == DEAD_LETTERS_KEPT)


@pytest.mark.parametrize("queue", STEPS)
def test_a_flood_grows_neither_memory_nor_list_nor_log(mail: BrokenMail, queue: str) -> None:
    mail.push(queue, *[b"x" * 5000] * DEAD_LETTERS_KEPT)
    wait_until(lambda: len(mail.letters(queue)) == DEAD_LETTERS_KEPT)
    worker = psutil.Process(mail.pids()[queue])
    memory, lines = worker.memory_info().rss, len(mail.site.log().splitlines())
    for number in range(FLOOD):
        mail.push(queue, str(number).encode() + b"y" * 5000)
    wait_until(mail.nothing_waits, timeout_s=30)
    wait_until(lambda: mail.letters(queue)[0].raw.startswith(str(FLOOD - 1).encode()))
    assert len(mail.letters(queue)) == DEAD_LETTERS_KEPT
    assert worker.memory_info().rss - memory < MOST_GROWTH_BYTES
    assert len(mail.site.log().splitlines()) - lines <= 2


def test_the_log_has_a_line_for_a_kind_and_nothing_that_steers_a_terminal(mail: BrokenMail) -> None:
    mail.push("parallel", *[FRAMES[1].raw] * 10)
    wait_until(lambda: len(mail.letters("parallel")) == 10)
    lines = [line for line in mail.site.log().splitlines() if "set aside a message of parallel" in line]
    assert 1 <= len([line for line in lines if "it is no JSON, or it was cut short" in line]) <= MOST_LINES_A_KIND
    assert not re.search(r"[^\x20-\x7e]", "".join(lines))
    assert "Traceback" not in mail.site.log()


def test_broken_commands_of_a_remote_control_leave_the_mailbox_open(mail: BrokenMail) -> None:
    app = make_site_app(mail.site.settings, mail.site.url)
    channel = f"{mail.prefix}/0.celery.pidbox"
    for raw in COMMANDS:
        assert mail.client.publish(channel, raw) == len(STEPS)
    wait_until(lambda: len(mail.letters("remote control")) == len(STEPS) * len(COMMANDS))
    assert len(_pings(app)) == len(STEPS)


def _pings(app: Celery) -> Sequence[object]:
    found: list[object] = app.control.ping(timeout=2.0)
    return found


def test_the_command_line_prints_them(mail: BrokenMail) -> None:
    mail.push("parallel", b"\x1b[31m not ours")
    wait_until(lambda: len(mail.letters("parallel")) == 1)
    told = _doctor(mail)
    assert "it is no JSON, or it was cut short" in told
    assert "\\x1b[31m not ours" in told
    (letter,) = json.loads(_doctor(mail, "--json"))
    assert (letter["queue"], letter["excerpt"]) == ("parallel", "\\x1b[31m not ours")


def _doctor(mail: BrokenMail, *options: str) -> str:
    command = [sys.executable, "-m", "producer.cli", "doctor", "--dead-letters", *options]
    return subprocess.run(
        command, cwd=ROOT, env=mail.site.joining(), check=True, capture_output=True, text=True, timeout=30
    ).stdout


def test_a_worker_that_was_cut_off_sets_aside_as_before(mail: BrokenMail) -> None:
    for listed in mail.client.client_list():
        if listed["cmd"] in {"brpop", "psubscribe"}:
            mail.client.client_kill_filter(_id=listed["id"])
    for queue in STEPS:
        mail.push(queue, b"cut off", frame_bytes(payload=[]))
    wait_until(lambda: [len(mail.letters(queue)) for queue in STEPS] == [2, 2])
