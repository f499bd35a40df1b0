"""Commands as a user types them: in this process, in an empty folder, with what they print."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest
from command import SMALL, Cli, Done

from bert_cli.cli.app import run as run_command


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run `bertctl` with the words given; one string is split as a shell does."""

    def call(*words: object, stdin: str | None = None) -> Done:
        arguments = shlex.split(str(words[0])) if len(words) == 1 else [str(word) for word in words]
        if stdin is not None:
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        capsys.readouterr()
        code = run_command(arguments)
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    return call


@pytest.fixture(scope="session")
def sst_run(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path, sst_like: Path) -> Path:
    """A finished run of `--task sst2` on tiny data."""
    out = tmp_path_factory.mktemp("runs") / "sst2"
    words = [
        "finetune",
        "--task",
        "sst2",
        "--model",
        tiny_bert,
        "--data",
        sst_like,
        "--out",
        out,
        "--lr",
        "1e-3",
        *SMALL,
    ]
    assert run_command([str(word) for word in words]) == 0
    return out
