"""The steps of the example: they read real data, refuse a stale fence, and have each effect once."""

import asyncio
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from producer.result import Result
from steps.classifier import StepClassifier
from steps.context import StepContext
from steps.outcome import Outcome
from steps.registry import StepRegistry

with StepRegistry().isolated():  # other tests define steps of the same names
    from examples.view_switch import data, steps
    from examples.view_switch.checkout import environment_without_git, usable_checkout
    from examples.view_switch.ten_sleeps import SLEEPS_MS
    from examples.view_switch.timeline import WIDTH, timeline
    from examples.view_switch.views import VIEW_SWITCH, Timed

SESSION = "s"


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = tmp_path / "chat.sqlite"
    data.create(path, SESSION, messages=100)
    return str(path)


def test_the_history_holds_all_messages_and_shows_the_newest(database: str) -> None:
    history = steps.GetChatHistoryStep(SESSION, database)
    assert history.total == 100
    assert [message.id for message in history.newest] == list(range(51, 101))
    assert history.characters > 100 * len("Message 1: ")


def test_a_second_attempt_has_no_second_effect(database: str) -> None:
    first = steps.CreateChatStep(_ctx(fence=1), SESSION, database)
    assert steps.CreateChatStep(_ctx(fence=2), SESSION, database) == first
    sent = steps.IDESendMessageStep(_ctx("send", fence=3), SESSION, database)
    assert steps.IDESendMessageStep(_ctx("send", fence=4), SESSION, database) == sent
    assert _counts(database) == {"chats": 2, "messages": 101}


def test_the_message_goes_to_the_newest_chat(database: str) -> None:
    chat = steps.CreateChatStep(_ctx(fence=1), SESSION, database)
    message = steps.IDESendMessageStep(_ctx("send", fence=2), SESSION, database)
    with data.connected(database) as chats:
        row = chats.execute("SELECT chat_id, body FROM messages WHERE id = ?", (message,)).fetchone()
    assert (row["chat_id"], row["body"]) == (chat, "Hello from the IDE")


@pytest.mark.parametrize("write", [steps.CreateChatStep, steps.IDESendMessageStep])
def test_a_stale_fence_is_refused_and_nothing_written(database: str, write: Any) -> None:
    steps.CreateChatStep(_ctx(fence=7), SESSION, database)
    before = _counts(database)
    with pytest.raises(data.StaleFence, match="fence 6 is older than 7"):
        write(_ctx("late", fence=6), SESSION, database)
    assert _counts(database) == before


def test_an_unknown_session_is_refused(database: str) -> None:
    with pytest.raises(data.NoChat, match="no session 'other'"):
        steps.CreateChatStep(_ctx(fence=1), "other", database)


def test_a_session_without_a_chat_takes_no_message(tmp_path: Path) -> None:
    path = tmp_path / "chat.sqlite"
    data.create(path, SESSION, messages=0)
    with data.connected(path) as chats:
        chats.execute("DELETE FROM chats")
    with pytest.raises(data.NoChat, match="no chat to write to"):
        steps.IDESendMessageStep(_ctx(fence=1), SESSION, str(path))


def test_a_checkout_is_made_where_there_is_none_and_read_like_any_other(tmp_path: Path) -> None:
    checkout, reason = usable_checkout(tmp_path, tmp_path)
    assert reason is not None
    assert steps.GitGetCurrentBranchStep(str(checkout)) == "main"
    assert asyncio.run(steps.GitGetStatusStep(str(checkout))) == [" M small/greeting.py"]
    info = steps.GetProjectInfoStep(str(checkout))
    assert (info.name, info.files, info.kinds[".py"]) == ("small-project", 4, 2)
    assert usable_checkout(checkout, tmp_path) == (checkout.resolve(), None)


def test_a_detached_head_is_called_so(tmp_path: Path) -> None:
    checkout, _ = usable_checkout(tmp_path, tmp_path)
    subprocess.run(["git", "-C", checkout, "checkout", "--quiet", "--detach"], check=True)
    assert steps.GitGetCurrentBranchStep(str(checkout)) == "HEAD"


def test_what_git_complains_of_is_the_error_of_the_step(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not a git repository"):
        steps.GitGetCurrentBranchStep(str(tmp_path))
    with pytest.raises(RuntimeError, match="not a git repository"):
        asyncio.run(steps.GitGetStatusStep(str(tmp_path)))


def test_variables_that_point_git_elsewhere_are_left_out() -> None:
    assert environment_without_git({"GIT_DIR": "/x", "PATH": "/bin"}) == {"PATH": "/bin"}


def test_a_cancelled_status_leaves_no_git_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_GIT", ("sh", "-c", "exec sleep 60"))

    async def cancelled() -> None:
        await asyncio.wait_for(steps.GitGetStatusStep(str(tmp_path)), 0.1)

    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())


def test_the_rules_class_every_step_as_the_example_says() -> None:
    classes = StepClassifier().classify_steps([*VIEW_SWITCH, *SLEEPS_MS])
    assert classes.critical == ["CreateChatStep", "IDESendMessageStep"]


def test_the_ten_sleeps_are_those_of_the_measured_view() -> None:
    assert list(SLEEPS_MS.values()) == [117, 19, 9, 117, 95, 88, 83, 79, 76, 70]


def test_bars_stand_where_their_steps_ran() -> None:
    rows = [_bar_of(started_ms=1_000.0, ran_ms=50.0), _bar_of(started_ms=1_050.0, ran_ms=50.0)]
    assert rows[0].index("█") == 0
    assert rows[1].index("█") == WIDTH // 2
    assert rows[0].count("█") == rows[1].count("█") == WIDTH // 2


def test_a_step_that_did_not_start_has_no_bar() -> None:
    assert "█" not in _bar_of(started_ms=None, ran_ms=None)


def test_a_bar_never_leaves_the_timeline() -> None:
    assert _bar_of(started_ms=1_099.9, ran_ms=50.0).count("█") == 1


def _bar_of(*, started_ms: float | None, ran_ms: float | None) -> str:
    outcome = Outcome(
        id="s",
        name="s",
        status="succeeded",
        critical=False,
        reason="r",
        rule="pattern",
        queue="parallel",
        started_ms=started_ms,
        ran_ms=ran_ms,
    )
    result = Result(
        run_id="r",
        mode="parallel",
        total_ms=100.0,
        outcomes=(outcome,),
        classification=StepClassifier().classify_steps([]),
    )
    (bar,) = timeline(Timed(result, submitted_ms=1_000.0), full_ms=100.0, columns=200).columns[1].cells
    return str(bar)


def _ctx(step_id: str = "create", *, fence: int) -> StepContext:
    return StepContext(run_id="r", step_id=step_id, context={}, results={}, fence=fence)


def _counts(database: str) -> Mapping[str, int]:
    with data.connected(database) as chats:
        return {table: chats.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("chats", "messages")}
