"""``stepline doctor``: its words, its document and its exit codes; the findings are tested with the check-up."""

import json
from pathlib import Path

import pytest

from config.settings import Settings
from producer.cli import doctor, main
from producer.doctor.check_record import ok, problem, warning
from producer.doctor.checkup import Checkup
from producer.doctor.shown_settings import shown_settings
from steps.errors import InvalidStep
from tests.unit.test_cli_schemas import check

VERSIONS = {"python": "3.11", **dict.fromkeys(("stepline", "celery", "kombu", "redis", "pydantic", "flower"), "1")}
GOOD = ok("redis", "answers in 0.4 ms")
WARNED = warning("clock", "this machine is 3.000 s ahead of Redis", "let both follow NTP")
BAD = problem("workers of critical", "none is live", "start one")


def found(*checks: object, has_broker: bool = True) -> Checkup:
    return Checkup(
        checks=tuple(checks),  # type: ignore[arg-type]
        versions=VERSIONS,
        settings=shown_settings(Settings()),
        has_broker=has_broker,
    )


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEPLINE_DATA_DIR", str(tmp_path / "data"))


@pytest.mark.parametrize(
    ("checkup", "code"),
    [
        (found(GOOD), 0),
        (found(GOOD, WARNED), 0),
        (found(GOOD, BAD), 1),
        (found(GOOD, BAD, has_broker=False), 3),
    ],
)
def test_the_exit_code_says_how_bad_it_is(
    checkup: Checkup, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "check_up", lambda *_, **__: checkup)
    assert main(["doctor", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    check("doctor", document)
    assert document["ok"] is (code == 0)


def test_each_finding_is_a_line_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "check_up", lambda *_, **__: found(GOOD, WARNED, BAD))
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "-> let both follow NTP" in out
    assert out.endswith("not healthy: 1 ok, 1 warning, 1 problem\n")


def test_a_whole_document_without_a_site_is_as_promised(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["doctor", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    check("doctor", document)
    assert not (tmp_path / "data").exists()
    assert {setting["name"]: setting["source"] for setting in document["settings"]}["data_dir"] == "environment"


def test_passwords_are_never_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("STEPLINE_REDIS_URL", "redis://me:sesame@127.0.0.1:1/0")
    monkeypatch.setenv("STEPLINE_BROKER_URL", "amqp://me:sesame@127.0.0.1:1//")
    monkeypatch.setenv("STEPLINE_FLOWER_BASIC_AUTH", "me:sesame")
    for options in ([], ["--json"]):
        assert main(["doctor", *options]) == 3
        assert "sesame" not in "".join(capsys.readouterr())


def test_step_modules_that_cannot_be_imported_are_findings_and_not_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEPLINE_STEP_MODULES", "no_such_module_here,nor_this_one")
    assert main(["doctor", "--json"]) == 3
    told = [one["found"] for one in json.loads(capsys.readouterr().out)["checks"] if one["name"] == "step modules"]
    assert ["no_such_module_here" in told[0], "nor_this_one" in told[1]] == [True, True]


def test_a_step_that_cannot_be_one_is_a_finding_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(settings: Settings) -> None:
        raise InvalidStep("GetStep has a parameter that pydantic can't take")

    monkeypatch.setattr(doctor, "load_project", refuse)
    assert main(["doctor"]) == 3
    assert "GetStep has a parameter" in capsys.readouterr().out


def test_a_wrong_setting_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPLINE_RETRIES", "many")
    assert main(["doctor"]) == 2
