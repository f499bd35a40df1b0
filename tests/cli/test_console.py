"""Tables: aligned, safe on a terminal, and no wider than it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from bert_cli.cli.app import run
from bert_cli.cli.console import print_table
from bert_cli.recipe.load import shipped_recipes
from bert_cli.tasks import all_tasks

Show = Callable[[Callable[[], object]], list[str]]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Show:
    """The lines that an action shows on a terminal of 80 columns."""

    def lines(action: Callable[[], object]) -> list[str]:
        with monkeypatch.context() as patch:
            patch.setenv("COLUMNS", "80")
            patch.setattr(sys.stdout, "isatty", lambda: True)
            action()
        return capsys.readouterr().out.splitlines()

    return lines


def test_columns_are_aligned_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([("a", 1, "x"), ("电影", 100, "")], ("name", "n", "text"), indent="  ")
    assert capsys.readouterr().out == "  name    n  text\n  a       1  x\n  电影  100\n"


def test_on_a_terminal_the_last_column_goes_on_below_itself(screen: Show) -> None:
    words = " ".join(["word"] * 30)
    lines = screen(lambda: print_table([("key", words), ("other", "short")], ("name", "value")))
    assert [line[:7] for line in lines] == ["name   ", "key    ", "       ", "       ", "other  "]
    assert all(len(line) <= 80 for line in lines) and len(lines[1]) > 70
    assert " ".join(line[7:] for line in lines[1:4]) == words


def test_a_word_is_never_broken_so_that_paths_can_be_copied(screen: Show) -> None:
    path = "/".join(["folder"] * 20)
    assert screen(lambda: print_table([("key", f"lies in {path}")])) == ["key  lies in", f"     {path}"]


def test_wide_characters_count_as_two_where_a_line_is_broken(screen: Show) -> None:
    lines = screen(lambda: print_table([("k", " ".join(["电影电影"] * 10))]))
    assert [line.count("电影电影") for line in lines] == [8, 2]


def test_in_a_pipe_a_row_stays_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_table([("key", " ".join(["word"] * 30))])
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([("a\x1b[31m", "b\nc")])
    assert capsys.readouterr().out == "a\\x1b[31m  b\\nc\n"


@pytest.mark.parametrize("verb", ["task", "recipe"])
def test_lists_have_one_line_for_each_name_in_80_columns(verb: str, screen: Show) -> None:
    _, *lines = screen(lambda: run([verb, "ls"]))
    assert [line.split()[0] for line in lines] == list(all_tasks() if verb == "task" else shipped_recipes())
    assert [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize("name", all_tasks())
def test_a_task_is_shown_in_80_columns(name: str, screen: Show) -> None:
    lines = screen(lambda: run(["task", "show", name]))
    assert lines and [line for line in lines if len(line) > 80 or "…" in line] == []
