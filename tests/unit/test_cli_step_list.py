"""``stepline steps``: what is registered here and what workers know, each said."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from producer.cli import main, step_list
from steps import StepRegistry, step
from steps.definition import StepFacts

ON_WORKERS = {"FarStep": StepFacts("FarStep", queue="parallel"), "NearStep": StepFacts("NearStep")}


class PretendProducer:
    def __init__(self, **_: Any) -> None: ...

    def known_steps(self) -> Mapping[str, StepFacts]:
        return ON_WORKERS

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def _near_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("STEPLINE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(step_list, "Producer", PretendProducer)
    with StepRegistry().isolated():
        step(name="NearStep", timeout=2, critical=True, lane="x", retries=1)(_nothing)
        yield


def test_without_a_site_what_is_registered_here_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["steps", "--json"]) == 0
    out, err = capsys.readouterr()
    listed = {one["name"]: one for one in json.loads(out)}
    assert listed["NearStep"]["registered"]
    assert "FarStep" not in listed
    assert "no site is up" in err


def test_with_a_site_what_its_workers_know_is_listed_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(step_list, "find_site", lambda settings: "unix:///up")
    assert main(["steps", "--json"]) == 0
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert (listed["NearStep"]["registered"], listed["NearStep"]["on_workers"]) == (True, True)
    assert (listed["FarStep"]["registered"], listed["FarStep"]["on_workers"]) == (False, True)
    assert list(listed) == sorted(listed)


def test_people_get_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(step_list, "find_site", lambda settings: "unix:///up")
    assert main(["steps"]) == 0
    near = next(line for line in capsys.readouterr().out.splitlines() if "NearStep" in line)
    assert all(word in near for word in ("critical", "2 s", "here and workers"))


def _nothing() -> None: ...
