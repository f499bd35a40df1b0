"""E10: nothing that a data set, a label or a file is called moves the cursor, colours or rewrites the terminal."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from command import SMALL, Cli, Done

ESC, CSI, RLO = "\x1b", "\x9b", "\u202e"
EVIL = f"{ESC}[31m{CSI}2J{RLO}\x07\x08\x7f\rend"
"""Colour, clear, turned around, bell, backspace, delete, and back to the beginning of the line."""
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
LABELS = (f"good{ESC}[1m", f"bad{RLO}")


def evil_data(folder: Path, rows: int = 12) -> Path:
    folder.mkdir()
    for name, n in (("train", rows), ("validation", 4)):
        lines = [{"text": f"a film {i} {EVIL}", "label": LABELS[i % 2]} for i in range(n)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def clean(done: Done) -> Done:
    for shown in (done.out, done.err):
        assert not RAW.search(shown), RAW.search(shown)
    return done


def test_E10_texts_and_labels_of_a_whole_run_are_shown_harmless(cli: Cli, tiny_bert: Path) -> None:
    evil_data(Path("d"))
    task = ("--task", "text-classification", "--data", "d")
    for words in (
        ("data", "check", *task),
        ("data", "stats", *task),
        ("data", "stats", *task, "--json"),
        ("finetune", *task, "--model", tiny_bert, "--dry-run", *SMALL),
        ("finetune", *task, "--model", tiny_bert, "--out", "run", *SMALL[:-1]),
        ("eval", "run"),
        ("eval", "run", "--json"),
        ("run", "ls", "."),
    ):
        assert clean(cli(*words)).code in (0, 3), words
    done = clean(cli("predict", "run", "d/validation.jsonl"))
    assert done.code == 0
    # What programs read is the text itself.
    told = [json.loads(line) for line in done.out.split("\n") if line]
    assert [line["text"] for line in told] == [f"a film {i} {EVIL}" for i in range(4)]
    assert {line["label"] for line in told} <= set(LABELS)
    assert json.loads(Path("run/predictions/validation.jsonl").read_text().split("\n")[0])["gold"] == LABELS[0]


def test_E10_file_names_are_shown_harmless(cli: Cli, tiny_bert: Path) -> None:
    name = f"evil{EVIL}\n[2K"
    evil_data(Path(name))
    task = ("--task", "text-classification", "--data", name)
    assert clean(cli("data", "check", *task)).code in (0, 3)
    run = f"run-{EVIL}"
    assert clean(cli("finetune", *task, "--model", tiny_bert, "--out", run, *SMALL[:-1])).code == 0
    for words in (("eval", run), ("run", "ls", "."), ("run", "ls", ".", "--json"), ("run", "verify", run)):
        assert clean(cli(*words)).code == 0
    assert clean(cli("run", "clean", run)).code == 0
    Path(run, "best", f"x{EVIL}.json").write_text("{}")
    assert clean(cli("run", "verify", run)).code == 4


@pytest.mark.parametrize(
    "words",
    [
        ("finetune", "--task", EVIL),
        ("finetune", "--task", "sst2", "--model", f"./{EVIL}"),
        ("finetune", "--task", "sst2", "--data", f"./{EVIL}"),
        ("finetune", f"train.{EVIL}=1", "--task", "sst2"),
        ("finetune", f"./{EVIL}.yaml"),
        ("eval", f"./{EVIL}"),
        ("recipe", "show", EVIL),
        ("recipe", "validate", EVIL, "--json"),
        ("task", "show", EVIL),
        ("run", "verify", EVIL),
    ],
)
def test_E10_mistakes_are_told_harmless(cli: Cli, words: tuple[str, ...]) -> None:
    done = clean(cli(*words))
    assert done.code not in (0, 1), done.err


def test_E10_a_label_that_is_refused_is_shown_harmless(cli: Cli, tiny_bert: Path) -> None:
    evil_data(Path("d"))
    with Path("d/validation.jsonl").open("a") as file:
        file.write(json.dumps({"text": EVIL, "label": EVIL}) + "\n")
    task = ("--task", "text-classification", "--data", "d", "--model", tiny_bert)
    done = clean(cli("finetune", *task, *SMALL))
    assert done.code == 3 and "\\x1b[31m" in done.err


def test_E10_a_file_name_that_is_no_text_is_no_bug(cli: Cli, sst_run: Path) -> None:
    odd = os.fsdecode(b"odd-\xff")
    evil_data(Path(odd))
    done = clean(cli("data", "check", "--task", "text-classification", "--data", odd))
    assert done.code == 2 and "odd-\\udcff" in done.err
    shutil.copytree(sst_run, f"{odd}/run")
    for words in (("ls", "."), ("ls", ".", "--json"), ("verify", f"{odd}/run"), ("clean", f"{odd}/run")):
        assert clean(cli("run", *words)).code == 0
