"""Many callers at once, on real data: chat histories from SQLite and the status of a git checkout."""

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from examples.view_switch import data
from examples.view_switch.checkout import usable_checkout
from producer import Producer, Result

BATCHES = 20
MESSAGES = 1_000


@pytest.fixture
def context(tmp_path: Path) -> dict[str, str]:
    """Return the context of a view: a chat database and a checkout in which one file was changed."""
    database, plain = tmp_path / "chat.sqlite", tmp_path / "plain"
    plain.mkdir()
    data.create(database, "42", MESSAGES)
    checkout, _ = usable_checkout(plain, tmp_path)
    return {"session_id": "42", "database": str(database), "checkout": str(checkout)}


def test_chat_history_and_git_status_under_20_simultaneous_batches(producer: Producer, context: dict[str, str]) -> None:
    at_once = threading.Barrier(BATCHES)

    def switch_view(_: int) -> Result:
        at_once.wait(20)
        return producer.run(["GetChatHistoryStep", "GitGetStatusStep"], context=context, timeout=30)

    with ThreadPoolExecutor(BATCHES) as threads:
        results = list(threads.map(switch_view, range(BATCHES)))
    assert len({result.run_id for result in results}) == BATCHES
    assert [one.id for one in results[0].outcomes] == ["GetChatHistoryStep", "GitGetStatusStep"]
    for result in results:
        assert result.ok, [one.as_dict() for one in result.outcomes]
        assert [one.attempts for one in result.outcomes] == [1, 1]
        assert result["GetChatHistoryStep"].value["total"] == MESSAGES
        assert result["GitGetStatusStep"].value == [" M small/greeting.py"]


def test_writes_of_simultaneous_batches_to_one_session_are_all_there_once(
    producer: Producer, context: dict[str, str]
) -> None:
    def write(number: int) -> Result:
        send = {"name": "IDESendMessageStep", "params": {"message": f"message {number}"}}
        return producer.run(["GetChatHistoryStep", send, "GitGetCurrentBranchStep"], context=context, timeout=30)

    with ThreadPoolExecutor(BATCHES) as threads:
        results = list(threads.map(write, range(BATCHES)))
    assert all(result.ok for result in results)
    with data.connected(context["database"]) as database:
        sent = [row["body"] for row in data.read_history(database, "42") if row["author"] == "ide"]
    assert sorted(sent) == sorted(f"message {number}" for number in range(BATCHES))
    # Every run read its own write at least, and at most what all of them wrote.
    totals = [result["GetChatHistoryStep"].value["total"] for result in results]
    assert all(MESSAGES < total <= MESSAGES + BATCHES for total in totals)
    branch = subprocess.run(
        ["git", "-C", context["checkout"], "symbolic-ref", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {result["GitGetCurrentBranchStep"].value for result in results} == {branch.stdout.strip()}
