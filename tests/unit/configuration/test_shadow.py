"""Our packages have common names: a foreign one that shadows ours is refused at import, with both places."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[3]
OURS = [name for name in ("config", "steps", "producer", "workers") if (HOUSE / name / "__init__.py").is_file()]


def run_python(code: str, *first_on_path: Path) -> subprocess.CompletedProcess[str]:
    folders = [*first_on_path, HOUSE]
    # Not measured: a foreign package would count as uncovered code of ours.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environ = {**inherited, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def foreign(folder: Path, name: str, kind: str) -> Path:
    if kind == "module":
        path = folder / f"{name}.py"
    else:
        path = folder / name / "__init__.py"
        path.parent.mkdir()
    path.write_text("", encoding="utf-8")
    return path


@pytest.mark.parametrize("imported", OURS)
def test_ours_alone_can_be_imported(imported: str) -> None:
    done = run_python(f"import {imported}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["package", "module"])
@pytest.mark.parametrize(("imported", "shadowed"), list(itertools.permutations(OURS, 2)))
def test_a_foreign_package_that_shadows_ours_is_refused_with_both_places(
    imported: str, shadowed: str, kind: str, tmp_path: Path
) -> None:
    path = foreign(tmp_path, shadowed, kind)
    done = run_python(f"import {imported}", tmp_path)
    assert done.returncode != 0, f"{imported} was imported in spite of {path}"
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert str(path.parent if kind == "package" else path) in last
    assert str(HOUSE / shadowed) in last


def test_a_folder_of_data_named_like_ours_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "steps").mkdir()
    done = run_python("import config.settings", tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_foreign_package_behind_ours_does_no_harm(tmp_path: Path) -> None:
    foreign(tmp_path, "steps", "package")
    done = run_python(f"import sys; sys.path.append({str(tmp_path)!r}); import config.settings")
    assert done.returncode == 0, done.stderr


def test_reading_the_settings_loads_no_celery_and_no_redis() -> None:
    code = "import sys, config.settings, config.rules; print(*{'celery', 'kombu', 'redis'} & set(sys.modules))"
    done = run_python(code)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
