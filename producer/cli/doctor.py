"""``stepline doctor``: a check-up of the site from this machine."""

import argparse
import json
from typing import Final

from config.errors import SettingsError
from config.settings import Settings, load_settings
from producer.cli.failures import NO_BROKER, NOT_OK
from producer.cli.output import emit_json
from producer.cli.project import load_project
from producer.cli.tables import print_table, terminal
from producer.doctor.check_record import Check
from producer.doctor.checkup import Checkup, check_up
from producer.doctor.shown_settings import ShownSetting
from steps.errors import SteplineError
from steps.registry import StepRegistry

STYLES: Final = {"ok": "green", "warning": "yellow", "problem": "red"}
CHECK_HEADS: Final = ("verdict", "check", "finding")
SETTING_HEADS: Final = ("setting", "value", "source")


def execute(options: argparse.Namespace) -> int:
    """Print every check with what to do, and the settings in force."""
    settings = load_settings()
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
