"""What the pytest plugin gives to tests: a real site for a session, and steps that run in the test's own process."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, Unpack

from config.errors import SettingsError
from config.setting_sources import variable
from config.settings import Settings, load_settings
from producer.cli.live import live_workers_by
from producer.inline.engines import execute_steps
from producer.launcher.supervisor import Site
from producer.planning.batch import BatchOptions
from producer.planning.batch_calls import StepSpec
from producer.producer import Producer
from producer.result import Result
from producer.run_status import RunState
from steps.registry import StepRegistry, load_step_modules

OWN_PLACES: Final = {"STEPLINE_REDIS_URL": "", "STEPLINE_BROKER_URL": ""}
"""Set over the environment and ``stepline.toml``: a test must never reach the site that they name."""

UNSETTLED: Final[tuple[RunState, ...]] = ("waiting", "queued", "running", "stopping")
"""The states of runs that a test may leave behind."""

MOST_LEFT: Final = 10_000
"""Runs in each of these states that are cancelled after a test: all of them."""

CANCELLED_WITHIN_S: Final = 20.0
"""For a cancelled run to settle; its steps take 5 s at most, on a machine that is not overloaded."""


class SiteForTests:
    """A private Redis in a folder of its own and one worker for each queue.

    Args:
        folder: For the data and the logs of the workers.
        root: Working folder of the workers, which find step modules from there.
        step_modules: Modules that define steps; if empty, those that the environment names.
        settings: Further settings, each ``NAME = VALUE``.
        import_path: Folders that come first on the workers' import path.

    Attributes:
        environment: Variables for a process that is to join the site.
        settings: Of the site, with its URL.
        producer: For the site; open while the site is up.
    """

    def __init__(
        self,
        folder: Path,
        *,
        root: Path,
        step_modules: Sequence[str] = (),
        settings: Sequence[str] = (),
        import_path: Iterable[Path] = (),
    ) -> None:
        places = {**OWN_PLACES, "STEPLINE_DATA_DIR": str(folder / "data")}
        self.environment = {**os.environ, **_variables(step_modules, settings), **places}
        self.environment["PYTHONPATH"] = _joined(import_path, os.environ.get("PYTHONPATH", ""))
        self.settings: Settings = load_settings(self.environment)
        self._log_dir = folder / "logs"
        self._site = Site(
            self.settings,
            live_workers=live_workers_by(self.settings),
            env=self.environment,
            cwd=root,
            log_dir=self._log_dir,
        )
        self.producer: Producer

    @property
    def url(self) -> str:
        """URL of the site's Redis."""
        return self._site.url

    def start(self) -> Self:
        """Start it; returns when every worker is live.

        Raises:
            SiteError: It did not start; the message holds the ends of its logs.
        """
        self._site.start()
        self.environment["STEPLINE_REDIS_URL"] = self.url
        self.settings = load_settings(self.environment)
        self.producer = Producer(self.settings)
        return self

    def stop(self) -> None:
        """End it, and every process of it."""
        self.producer.close()
        self._site.stop()

    def cancel_leftovers(self) -> None:
        """Cancel every run that has not settled, and wait until it has.

        Raises:
            GatherTimeout: One did not settle.
        """
        left = [run.run_id for state in UNSETTLED for run in self.producer.runs(state=state, limit=MOST_LEFT)]
        for run_id in left:
            self.producer.cancel(run_id, "left behind by a test")
        for run_id in left:
            self.producer.attach(run_id).gather(timeout=CANCELLED_WITHIN_S)

    def log(self) -> str:
        """Return what the workers have logged so far."""
        return "\n".join(path.read_text() for path in sorted(self._log_dir.glob("*.log")))

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.stop()


@dataclass(frozen=True, slots=True)
class InlineSteps:
    """Runs batches in this process, under these settings."""

    settings: Settings

    def __call__(self, steps: Iterable[StepSpec], **options: Unpack[BatchOptions]) -> Result:
        """Run steps as `Producer.run` would, without a broker; takes the same options."""
        context = options.pop("context", None)
        return execute_steps(steps, context, options, settings=self.settings)


@contextmanager
def inline_steps(*, root: Path, step_modules: Sequence[str], settings: Sequence[str]) -> Iterator[InlineSteps]:
    """Yield what runs steps here; steps that are defined in the block are forgotten at its end.

    Args:
        root: Last on the import path, as in a worker.
        step_modules: Modules that define steps; if empty, those that the environment names.
        settings: Further settings, each ``NAME = VALUE``.
    """
    if str(root) not in sys.path:
        sys.path.append(str(root))
    chosen = load_settings({**os.environ, **_variables(step_modules, settings)})
    load_step_modules(chosen.step_modules)
    with StepRegistry().isolated():
        yield InlineSteps(chosen)


def _variables(step_modules: Sequence[str], settings: Sequence[str]) -> Mapping[str, str]:
    """Return what the pytest configuration says, as variables."""
    variables = {"STEPLINE_STEP_MODULES": ",".join(step_modules)} if step_modules else {}
    for line in settings:
        name, equals, value = line.partition("=")
        if not equals:
            raise SettingsError(f"stepline_settings: {line!r} is no NAME = VALUE, such as retry_delay_s = 0.01")
        variables[variable(name.strip())] = value.strip()
    return variables


def _joined(folders: Iterable[Path], others: str) -> str:
    return os.pathsep.join([*map(str, folders), *filter(None, [others])])
