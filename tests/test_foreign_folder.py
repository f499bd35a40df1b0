"""E5: bertctl started in somebody else's folder runs nothing that lies there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_data

SCRIPT = Path(sys.executable).with_name("bertctl")
MODULES = (
    *(
        "sitecustomize",
        "usercustomize",
        "bert_cli",
        "accuracy",
        "yaml",
        "ruamel",
        "typer",
        "pydantic",
        "numpy",
        "torch",
    ),
    *("transformers", "tokenizers", "safetensors", "accelerate", "datasets", "evaluate", "sklearn", "scipy", "rich"),
    *("json", "random", "numpy", "tempfile", "psutil", "pyarrow", "huggingface_hub", "tensorboard", "jieba", "faiss"),
)


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder full of modules that leave a mark where they are run, and a repository whose git runs one too."""
    folder = tmp_path / "trap"
    mark = f"open({str(tmp_path / 'ran')!r}, 'a').write(__file__ + '\\n')\n"
    tiny_data(folder, text="sentence", labels=("0", "1"))
    for name in MODULES:
        (folder / f"{name}.py").write_text(mark)
    for name in ("accuracy", "f1", "glue"):
        (folder / name).mkdir()
        (folder / name / f"{name}.py").write_text(mark)
    hook = folder / "hook.sh"
    hook.write_text(f"#!/bin/sh\necho hook >> {tmp_path / 'ran'}\ncat\n")
    hook.chmod(0o755)
    if shutil.which("git"):
        repository(folder, hook)
    return folder


def repository(folder: Path, hook: Path) -> None:
    def git(*words: str) -> None:
        # The hook of a commit is not what is tested.
        subprocess.run(["git", "-c", "core.fsmonitor=false", *words], cwd=folder, check=True, capture_output=True)

    git("init", "-q")
    git("add", "train.tsv", "validation.tsv")
    git("-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qm", "x")
    git("config", "core.fsmonitor", str(hook))
    for name in ("evil", "evil=worse"):
        git("config", f"filter.{name}.clean", str(hook))
        git("config", f"filter.{name}.required", "true")
    (folder / ".gitattributes").write_text("train.tsv filter=evil\nvalidation.tsv filter=evil=worse\n")
    for name in ("post-index-change", "pre-commit"):
        (folder / ".git" / "hooks").mkdir(exist_ok=True)
        shutil.copy(hook, folder / ".git" / "hooks" / name)
    age(folder)


def age(folder: Path) -> None:
    """Make git look into the files again."""
    for name in ("train.tsv", "validation.tsv"):
        os.utime(folder / name, (1, 1))


def start(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    return subprocess.run(
        [str(SCRIPT), *map(str, words)], cwd=folder, env=environment, capture_output=True, text=True, timeout=280
    )


@pytest.mark.skipif(not SCRIPT.is_file(), reason="the console script is not installed")
def test_E5_nothing_of_the_current_folder_is_run(trap: Path, tiny_bert: Path, tmp_path: Path) -> None:
    """Neither by the command nor by the processes that it starts."""
    words = ["--task", "sst2", "--data", ".", "--model", tiny_bert, "--out", "run", "eval.metrics=[f1]"]
    small = ["--max-length", 32, "--epochs", 1, "--precision", "fp32", "--cpus", 2]
    done = start(trap, "finetune", *words, *small)
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()
    assert done.returncode == 0, done.stderr
    assert (trap / "run" / "lock.json").is_file()


def test_E5_git_is_asked_without_running_what_a_repository_names(
    trap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bert_cli.run.git import git_state

    if not shutil.which("git"):
        pytest.skip("git is not installed")
    monkeypatch.chdir(trap)
    subprocess.run(["git", "status"], check=True, capture_output=True)
    assert (tmp_path / "ran").exists(), "the trap must work for this test to say something"
    (tmp_path / "ran").unlink()
    age(trap)
    state = git_state()
    assert state is not None and len(state["commit"]) == 40 and state["dirty"] is False
    assert not (tmp_path / "ran").exists()
    (trap / "train.tsv").write_text("changed")
    assert git_state() == {**state, "dirty": True}
