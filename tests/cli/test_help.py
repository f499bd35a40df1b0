"""What `--help` lists, as wide as the narrowest usual terminal."""

from __future__ import annotations

import re

import pytest
import typer
from command import Cli
from typer.main import get_command

from bert_cli.cli import recipe, task
from bert_cli.cli.app import app


@pytest.mark.parametrize(("words", "group"), [("", app), ("recipe", recipe.app), ("task", task.app)])
def test_the_list_of_verbs_says_each_of_them_in_one_whole_line(
    words: str, group: typer.Typer, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = cli(f"{words} --help")
    _, lines = done.out.split("Commands:\n")
    verbs = dict(re.findall(r"^  (\S+) +(\S.*)$", lines, re.M))
    assert set(verbs) == set(get_command(group).commands)  # type: ignore[attr-defined]
    assert [text for text in verbs.values() if not text.endswith(".") or text.endswith("...")] == []
    assert all(len(line) <= 80 for line in done.out.splitlines())
