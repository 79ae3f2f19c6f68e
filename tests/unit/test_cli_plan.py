"""``stepline plan`` without a site: the classes, lanes and parcels of a batch, in words and as its document."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from producer.cli import main, plan
from producer.cli.plan_text import summary
from producer.cli.request import plan_here
from producer.planning.batch import parse_batch
from steps import StepRegistry, step
from tests.unit.test_cli_schemas import check
from tests.unit.test_cli_site_commands import Terminal

BATCH = {
    "name": "view 42",
    "priority": "high",
    "steps": ["GetThingsStep", {"name": "WriteThingsStep", "id": "write"}, "GetThingsStep"],
    "then": "GetThingsStep",
}


@pytest.fixture(autouse=True)
def _steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEPLINE_DATA_DIR", str(tmp_path / "data"))
    Path("batch.json").write_text(json.dumps(BATCH))
    with StepRegistry().isolated():
        step(name="GetThingsStep", timeout=5)(_nothing)
        step(name="WriteThingsStep")(_nothing)
        yield


def test_the_document_of_a_plan_is_as_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "batch.json", "--after", "r1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    check("plan", document)
    assert (document["name"], document["priority"], document["after"]) == ("view 42", 16, ["r1"])
    assert (document["mode"], document["then"]) == ("hybrid", "GetThingsStep")
    assert [one["lane"] for one in document["steps"]] == [None, "global", None]
    assert [one["parcel"] for one in document["steps"]] == [1, 0, 1]
    assert [one["timeout_s"] for one in document["steps"]] == [5.0, 30.0, 5.0]
    assert [parcel["steps"] for parcel in document["parcels"]] == [["write"], ["GetThingsStep", "GetThingsStep_2"]]


def test_without_history_a_step_counts_half_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "batch.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["expected_ms"] == 60_000
    assert main(["plan", "batch.json", "--order", "overlap", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["expected_ms"] == 30_000


def test_people_see_a_table_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "batch.json"]) == 0
    out, err = capsys.readouterr()
    assert "write (WriteThingsStep)" in out
    assert "hybrid: 1 in 1 lane, 2 side by side, then GetThingsStep; 2 parcels;" in out
    assert "expected 1 min 0 s, deadline 1 h 0 min" in out
    assert "no site is up" in err


def test_at_eighty_columns_no_line_of_the_table_is_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    assert main(["plan", "batch.json", "--lane", "a-lane-of-some-length"]) == 0
    shown = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
    assert max(map(len, shown.splitlines()[:-1])) <= 80


def test_a_batch_that_would_be_refused_has_no_plan(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["plan", "GetThingStep", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    check("error", document)
    assert "GetThingsStep" in document["error"]["message"]
    assert not (tmp_path / "data").exists()


def test_with_a_site_its_steps_and_its_history_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class PretendProducer:
        def __init__(self, *_: object) -> None: ...

        def plan(self, batch: Any) -> Any:
            return plan_here(batch, Settings())

        def expected_ms(self, plan: Any) -> float:
            return 12.5

        def close(self) -> None: ...

    monkeypatch.setattr(plan, "Producer", PretendProducer)
    monkeypatch.setenv("STEPLINE_REDIS_URL", "redis://127.0.0.1:1/0")
    assert main(["plan", "GetThingsStep", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["expected_ms"] == 12.5
    assert err == ""


def test_a_plan_without_steps_is_said_to_have_none() -> None:
    settings = Settings()
    assert summary(plan_here(parse_batch([], settings=settings), settings), 0.0).startswith(
        "parallel: no steps; 0 parcels"
    )


def _nothing() -> None: ...
