"""Another commit of the project, brought to where it can run; and those that cannot."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

from bench import other_code
from bench.code_tree import CannotCompare, CodeTree
from bench.other_code import LOCK, other_commit, working_tree
from bench.peer_process import PeerProcess, peer_environment
from bench.workloads import Load
from tests.support.code_repositories import commit_all, copy_project, git
from tests.support.processes import ROOT, untraced


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two commits: of the packages without the benchmark's peer, and with it."""
    root = copy_project(tmp_path_factory.mktemp("commits") / "project")
    peer = root / "bench" / "stepline_peer.py"
    text = peer.read_text()
    peer.unlink()
    commit_all(root)
    git(root, "tag", "no-peer")
    peer.write_text(text)
    commit_all(root)
    git(root, "tag", "good")
    return root


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where other commits are checked out; every test must leave it empty."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    for name in set(os.environ) - set(untraced(os.environ)):  # what is measured there is gone afterwards
        monkeypatch.delenv(name)
    return folder


def test_a_commit_is_checked_out_for_the_block_and_the_tree_stays_as_it_is(project: Path, scratch: Path) -> None:
    (project / "steps" / "new.py").write_text("NEW = 1\n")
    before = git(project, "status", "--porcelain"), git(project, "for-each-ref"), git(project, "worktree", "list")
    with other_commit("good", project) as code:
        assert code == CodeTree(root=code.root, python=Path(sys.executable), commit=git(project, "rev-parse", "good"))
        assert not (code.root / "steps" / "new.py").exists()
        assert set(code.packages()) == {"bench", "config", "steps", "producer", "workers"}
    assert list(scratch.iterdir()) == []
    assert before == (
        git(project, "status", "--porcelain"),
        git(project, "for-each-ref"),
        git(project, "worktree", "list"),
    )


def test_a_peer_runs_the_code_of_its_tree(project: Path, tmp_path: Path) -> None:
    with other_commit("good", project) as code:
        (code.root / "bench" / "stub_peer.py").write_text(STUB)
        environment = peer_environment(tmp_path, "unix:///nowhere", root=code.root)
        with PeerProcess("bench.stub_peer", environment=environment, folder=tmp_path) as peer:
            assert peer.run(Load(parallel_ms=(0,)))["batches"] == 1
            assert peer.versions == {"steps": str(code.root / "steps" / "__init__.py")}


STUB = """
import json, sys, steps
print(json.dumps({"workers": {}, "versions": {"steps": steps.__file__}}), flush=True)
for line in sys.stdin:
    print(json.dumps({"seconds": [1], "batches": 1}), flush=True)
"""


def test_the_working_tree_says_what_it_is_based_on_and_whether_it_is_changed(project: Path) -> None:
    head = git(project, "rev-parse", "HEAD")
    assert working_tree(project).commit == head
    (project / "changed.txt").touch()
    assert working_tree(project).is_changed
    (project / "changed.txt").unlink()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nonsense", r"there is no commit 'nonsense' in .*project; see `git log --oneline`"),
        ("--help", "there is no commit '--help'"),
        ("", "there is no commit ''"),
        ("good:steps", "there is no commit 'good:steps'"),
        ("no-peer", r"is too old to be compared: it has no bench/stepline_peer\.py; name a later commit"),
    ],
)
def test_a_commit_that_is_none_or_has_no_benchmark_is_refused(
    project: Path, scratch: Path, name: str, said: str
) -> None:
    with pytest.raises(CannotCompare, match=said), other_commit(name, project):
        pytest.fail("it was taken")
    assert list(scratch.iterdir()) == []


def test_a_folder_that_is_no_repository_has_no_other_commit(tmp_path: Path) -> None:
    with pytest.raises(CannotCompare, match="is not the top of a git repository"), other_commit("HEAD", tmp_path):
        pytest.fail("it was taken")


def test_a_shallow_clone_says_why_a_commit_may_be_missing(project: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{project}", "clone")
    with pytest.raises(CannotCompare, match="this clone is shallow"), other_commit("no-peer", tmp_path / "clone"):
        pytest.fail("it was taken")


def test_another_benchmark_that_takes_other_loads_is_refused(project: Path) -> None:
    with other_commit("good", project) as code:
        workloads = code.root / "bench" / "workloads.py"
        workloads.write_text(workloads.read_text().replace("open_at_once", "depth"))
        with pytest.raises(CannotCompare, match=r"its bench/ does not run or does not take.*open_at_once"):
            code.packages()


def test_a_package_from_elsewhere_is_not_taken_for_the_commits_own(project: Path) -> None:
    with other_commit("good", project) as code:
        (code.root / "bench").rename(code.root / "former_bench")
        with pytest.raises(CannotCompare, match=f"would not be what runs: Python takes bench from {ROOT}"):
            code.packages()


def test_a_commit_with_another_lock_has_an_environment_of_its_own(
    project: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(other_code, "_install", lambda commit, command: ran.append(list(command)))
    lock = project / LOCK
    text = lock.read_text()
    lock.write_text(f"{text}# another\n")
    with other_commit("good", project) as code:
        assert code.python.is_relative_to(scratch)
        assert not code.python.is_relative_to(code.root)
        assert ran[0] == [sys.executable, "-m", "venv", str(code.python.parents[1])]
        assert ran[1][-3:] == ["--require-hashes", "-r", str(code.root / LOCK)]
    lock.write_text(text)


def test_what_cannot_be_installed_is_told_with_pips_own_words(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / LOCK).write_text((project / LOCK).read_text() + "# another\n")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with (
        pytest.raises(CannotCompare, match="could not be installed: /bin/false -m venv"),
        other_commit("good", project),
    ):
        pytest.fail("it was taken")
    git(project, "checkout", "--quiet", LOCK)
