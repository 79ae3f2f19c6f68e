"""``stepline doctor``: a check-up of the site from this machine."""

import argparse
import json
from base64 import b64encode
from typing import Final

from config.errors import SettingsError
from config.settings import Settings, load_settings
from producer.cli.failures import NO_BROKER, NOT_OK
from producer.cli.output import emit_json
from producer.cli.project import load_project
from producer.cli.tables import print_table, terminal
from producer.cli.times import moment
from producer.doctor.check_record import Check
from producer.doctor.checkup import Checkup, check_up
from producer.doctor.dead_letters import dead_letters
from producer.doctor.shown_settings import ShownSetting
from steps.errors import SteplineError
from steps.ledger.dead_letter import KEPT_BYTES, DeadLetter
from steps.registry import StepRegistry

STYLES: Final = {"ok": "green", "warning": "yellow", "problem": "red"}
CHECK_HEADS: Final = ("verdict", "check", "finding")
SETTING_HEADS: Final = ("setting", "value", "source")
LETTER_HEADS: Final = ("time", "queue", "reason", "it begins")

SHOWN_BYTES: Final = 80
"""How much of a message that was set aside the table shows."""


def execute(options: argparse.Namespace) -> int:
    """Print every check with what to do, and the settings in force; or the messages that were set aside."""
    settings = load_settings()
    if options.dead_letters:
        return _show_letters(dead_letters(settings), as_json=options.json)
    problems = _import_problems(settings)
    here = {definition.name: definition.facts() for definition in StepRegistry()}
    checkup = check_up(settings, here, import_problems=problems)
    if options.json:
        emit_json(checkup.as_dict())
    else:
        _print(checkup)
    if not checkup.has_broker:
        return NO_BROKER
    return 0 if checkup.ok else NOT_OK


def _import_problems(settings: Settings) -> tuple[str, ...]:
    try:
        load_project(settings)
    except SettingsError as error:
        return error.problems
    except SteplineError as error:
        return (str(error),)
    return ()


def _print(checkup: Checkup) -> None:
    """Print the settings, then the checks, so that what matters stands last on the screen."""
    print_table(SETTING_HEADS, [_setting_row(setting) for setting in checkup.settings])
    styles = [STYLES[check.verdict] for check in checkup.checks]
    print_table(CHECK_HEADS, [_check_row(check) for check in checkup.checks], styles=styles)
    verdicts = [check.verdict for check in checkup.checks]
    told = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in STYLES if verdict in verdicts)
    terminal().print(f"{'healthy' if checkup.ok else 'not healthy'}: {told}", markup=False)


def _check_row(check: Check) -> tuple[str, ...]:
    advice = f"\n-> {check.advice}" if check.advice else ""
    return check.verdict, check.name, f"{check.found}{advice}"


def _setting_row(setting: ShownSetting) -> tuple[str, ...]:
    if setting.value is None:
        return setting.name, "-", setting.source
    shown = setting.value if isinstance(setting.value, str) else json.dumps(setting.value, ensure_ascii=False)
    return setting.name, shown, setting.source


def _show_letters(letters: tuple[DeadLetter, ...], *, as_json: bool) -> int:
    if as_json:
        emit_json([_letter_entry(letter) for letter in letters])
        return 0
    if letters:
        print_table(LETTER_HEADS, [_letter_row(letter) for letter in letters])
    terminal().print(f"{len(letters)} set aside", markup=False)
    return 0


def _letter_row(letter: DeadLetter) -> tuple[str, ...]:
    return moment(letter.at_ms), letter.queue, letter.reason, letter.excerpt(SHOWN_BYTES)


def _letter_entry(letter: DeadLetter) -> dict[str, object]:
    return {
        "at_ms": letter.at_ms,
        "queue": letter.queue,
        "worker": letter.worker,
        "reason": letter.reason,
        "size": letter.size,
        "excerpt": letter.excerpt(KEPT_BYTES),
        "raw": b64encode(letter.raw).decode(),
    }
