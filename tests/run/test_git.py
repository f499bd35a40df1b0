"""G4: what a run says about the repository it is started in is true."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bert_cli.run.git import git_state

if shutil.which("git") is None:
    pytest.skip("git is not installed", allow_module_level=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository, which is the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    git("init", "-q")
    return tmp_path


def git(*words: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_G4_commit_and_changes_are_those_of_the_repository(repository: Path) -> None:
    assert git_state() is None
    (repository / "a.txt").write_text("one\n")
    git("add", "a.txt")
    git("commit", "-qm", "one")
    first = git("rev-parse", "HEAD")
    assert git_state() == {"commit": first, "dirty": False}
    (repository / "new.txt").write_text("not part of it\n")
    (repository / "a.txt").touch()
    assert git_state() == {"commit": first, "dirty": False}
    (repository / "a.txt").write_text("two\n")
    assert git_state() == {"commit": first, "dirty": True}
    git("commit", "-qam", "two")
    assert git_state() == {"commit": git("rev-parse", "HEAD"), "dirty": False}


def test_G4_outside_a_repository_and_without_git_nothing_is_said(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(repository / ".git")
    assert git_state() is None
    monkeypatch.setenv("PATH", "")
    assert git_state() is None
