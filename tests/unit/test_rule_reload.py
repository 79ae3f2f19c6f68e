"""SIGHUP reads the rules again; rules that are wrong change nothing."""

import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.errors import SettingsError
from producer.rule_reload import reload_on_sighup
from tests.support.processes import ROOT, clean_environment, python_program

PROGRAM = """
import signal, sys
from pathlib import Path
from config.settings import Settings
from producer import Producer
from producer.planning.batch import parse_batch
from steps import step

@step
def ArchiveStep() -> None: ...

def tell(*_) -> None:
    (step,) = producer.plan(parse_batch(["ArchiveStep"], settings=settings)).steps
    print("critical" if step.critical else "reads", flush=True)

settings = Settings(rules_file=Path(sys.argv[1]))
producer = Producer(settings, "redis://127.0.0.1:1/0")  # steps that are here are planned without asking anybody
signal.signal(signal.SIGHUP, tell)
producer.reload_rules_on_sighup()
tell()
while True:
    signal.pause()
"""


@pytest.fixture(autouse=True)
def _own_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def test_every_sighup_reloads_and_then_calls_whoever_listened_before() -> None:
    calls: list[str] = []
    signal.signal(signal.SIGHUP, lambda *_: calls.append("before"))
    reload_on_sighup(lambda: calls.append("reload"))
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)
    assert calls == ["reload", "before"] * 2


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_program_that_did_not_listen_lives_on(handler: signal.Handlers) -> None:
    calls: list[str] = []
    signal.signal(signal.SIGHUP, handler)
    reload_on_sighup(lambda: calls.append("reload"))
    signal.raise_signal(signal.SIGHUP)
    assert calls == ["reload"]


def test_wrong_rules_are_logged_and_harm_nobody(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []

    def refuse() -> None:
        raise SettingsError("rules.toml: line 3")

    signal.signal(signal.SIGHUP, lambda *_: calls.append("before"))
    reload_on_sighup(refuse)
    with caplog.at_level(logging.INFO):
        signal.raise_signal(signal.SIGHUP)
    assert [record.getMessage() for record in caplog.records] == [
        "the classification rules stay as they were: rules.toml: line 3"
    ]
    assert calls == ["before"]


def test_a_real_signal_changes_what_a_running_program_decides(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('non_critical_names = ["ArchiveStep"]\n')
    with python_program(["-c", PROGRAM, str(rules)], environment=clean_environment(), cwd=ROOT) as program:
        assert program.stdout is not None

        def told_after_hup() -> str:
            program.send_signal(signal.SIGHUP)
            return program.stdout.readline().strip()

        assert program.stdout.readline() == "reads\n"
        rules.write_text('critical_names = ["ArchiveStep"]\n')
        assert told_after_hup() == "critical"
        rules.write_text("non_critical_names = [\n")
        assert told_after_hup() == "critical"
        rules.write_text('non_critical_names = ["ArchiveStep"]\ncritical_names = []\n')
        assert told_after_hup() == "reads"
