"""The user's own step modules: found from the working folder, as the workers find them."""

import os
import sys
from contextlib import redirect_stdout

from config.settings import Settings
from steps.registry import load_step_modules


def load_project(settings: Settings) -> None:
    """Import the step modules that the settings name; the working folder comes last on the import path.

    What they print meanwhile goes to standard error: standard output is the command's own.
    """
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.append(folder)
    with redirect_stdout(sys.stderr):
        load_step_modules(settings.step_modules)
