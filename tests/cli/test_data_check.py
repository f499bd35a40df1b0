"""`bertctl data check` and `bertctl data stats` of labelled data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Cli
from tiny import write_table

TRAIN = [(f"the film {'abcdefghij'[i % 10]} {'klm'[i // 10]} was fine", i % 2) for i in range(30)]


@pytest.fixture
def data() -> Path:
    """A folder `sst2` of sound data, in the folder that the commands run in."""
    write_table(Path("sst2/train.tsv"), ["sentence", "label"], TRAIN)
    write_table(Path("sst2/validation.tsv"), ["sentence", "label"], [("a dull plot", 0), ("a warm score", 1)])
    return Path("sst2")


@pytest.mark.usefixtures("data")
def test_sound_data_give_no_finding_and_end_with_0(cli: Cli) -> None:
    done = cli("data check --task sst2 --data sst2 --strict --offline")
    assert done.code == 0 and done.err == "" and done.out.splitlines()[-1] == "nothing found"
    lines = done.out.splitlines()
    assert lines[:2] == ["task sst2  ·  data sst2", "columns  text = sentence, label = label"]
    assert lines[3].split()[:5] == ["split", "file", "rows", "mean", "words"]
    assert lines[4].split()[:4] == ["train", "train.tsv", "30", "6.0"]


def test_warnings_are_shown_with_place_and_help_and_strict_ends_with_3(cli: Cli, data: Path) -> None:
    write_table(data / "test.tsv", ["sentence", "label"], [("THE FILM e k was fine!", 1), ("", 0)])
    done = cli("data check --task sst2 --data sst2")
    assert done.code == 0 and done.err == ""
    lines = [line.split(maxsplit=2) for line in done.out.splitlines()]
    assert ["warning", "overlap"] in [line[:2] for line in lines]
    assert "test.tsv:2 = train.tsv:6" in done.out and "help: delete them from train.tsv" in done.out
    assert done.out.splitlines()[-1] == "2 warnings"
    strict = cli("data check --task sst2 --data sst2 --strict")
    assert strict.code == 3 and strict.out == done.out and strict.mistakes == [strict.err.rstrip()]
    assert "error[D170]: the data have 2 warnings" in strict.err


def test_what_cannot_be_read_ends_with_3(cli: Cli, data: Path) -> None:
    write_table(data / "test.tsv", ["sentence", "label"], [("new", 7)])
    for verb in ("check", "stats"):
        done = cli(f"data {verb} --task sst2 --data sst2")
        assert done.code == 3 and "error[D170]: the data have 1 error" in done.err
        assert "D032" in done.out and "test.tsv:2" in done.out and "train.tsv" in done.out


@pytest.mark.usefixtures("data")
def test_lengths_are_in_tokens_where_the_user_names_a_model(cli: Cli, tiny_bert: Path) -> None:
    done = cli(f"data check --task sst2 --data sst2 --model {tiny_bert} --max-length 7 --json")
    found = done.json
    assert done.code == 0 and (found["unit"], found["max_length"]) == ("tokens", 7)
    assert {one["name"] for one in found["findings"]} == {"truncated"}
    assert found["splits"]["train"]["truncated"] == 30 and found["findings"][0]["severity"] == "warning"
    shown = cli(f"data check --task sst2 --data sst2 --model {tiny_bert} --max-length 16")
    assert "padding train costs 1.0x to the longest of 32, 2.0x to max_length 16" in shown.out
    words = cli("data check --task sst2 --data sst2 --json").json
    assert words["unit"] == "words" and "truncated" not in words["splits"]["train"]
    Path("mine.yaml").write_text(json.dumps({"task": "sst2", "model": {"name": str(tiny_bert)}}))
    assert cli("data check mine.yaml --data sst2 --json").json["unit"] == "tokens"


@pytest.mark.usefixtures("data")
def test_stats_are_facts_without_judgement(cli: Cli, tiny_bert: Path) -> None:
    done = cli(f"data stats --task sst2 sst2 --model {tiny_bert} --max-length 8")
    assert done.code == 0 and "warning" not in done.out and "help" not in done.out
    assert "8 = max_length" in done.out and "padded to the longest of 32" in done.out
    table = [line.split() for line in done.out.splitlines()]
    assert ["negative", "15", "1"] in table and ["Latin", "100.0", "%", "100.0", "%"] in table
    found = cli("data stats --task sst2 --data sst2 --json").json
    assert "findings" not in found and found["splits"]["validation"]["classes"] == {"negative": 1, "positive": 1}
    assert cli("data stats finetune/sst2 --data sst2 --json").json == found


def test_many_classes_are_summed_up(cli: Cli) -> None:
    rows = [(f"row {i}", f"class {i % 30}") for i in range(90)]
    write_table(Path("many/train.tsv"), ["text", "label"], rows)
    done = cli("data stats --task text-classification --data many/train.tsv data.validation=10%")
    assert done.code == 0 and "10 more" in done.out and done.out.count("class ") == 21


@pytest.mark.usefixtures("data")
def test_a_picture_is_drawn_on_request(cli: Cli) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is optional: pip install 'bertctl[pictures]'")
    for verb in ("check", "stats"):
        done = cli(f"data {verb} --task sst2 --data sst2 --picture pictures/{verb}.png --json")
        assert done.code == 0 and done.err == f"picture pictures/{verb}.png\n" and done.json["task"] == "sst2"
        assert Path(f"pictures/{verb}.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("words", "exit_code", "code", "parts"),
    [
        ("data check", 2, "U011", ("--task",)),
        ("data check --task nope --data sst2", 2, "U010", ("nope",)),
        ("data check --task sst2 --data none", 3, "D020", ("none",)),
        ("data check --task fill-mask --data sst2", 2, "U111", ("data stats",)),
        ("data check --task sst2 sst2 --data other", 2, "U005", ("sst2 other",)),
        ("data check --task sst2 --data sst2 --picture lengths.jpg", 2, "U112", ("lengths.png",)),
        ("data check --task sst2 --data sst2 data.max_lenght=8", 2, "R020", ("did you mean 'max_length'",)),
        ("data stats sst2/train.tsv --picture x.png", 2, "U113", ("--picture", "--task")),
        ("data stats --task nope --data sst2", 2, "U010", ("nope",)),
    ],
)
def test_mistakes_of_the_command_are_told(
    cli: Cli, words: str, exit_code: int, code: str, parts: tuple[str, ...]
) -> None:
    done = cli(words)
    assert done.code == exit_code and f"error[{code}]" in done.err, done.err
    assert all(part in done.err for part in parts), done.err
    assert done.out == ""


def test_finetune_says_the_warnings_and_so_does_a_dry_run(cli: Cli, data: Path, tiny_bert: Path) -> None:
    write_table(data / "validation.tsv", ["sentence", "label"], [*TRAIN[:3], ("a warm score", 1)])
    said = "3 of 4 rows (75.0 %) of validation stand in train too (validation.tsv:2 = train.tsv:2)"
    words = f"finetune --task sst2 --data sst2 --model {tiny_bert} --max-length 16 --epochs 1"
    dry = cli(f"{words} --dry-run")
    assert dry.code == 0 and said in dry.err, dry.err
    done = cli(f"{words} --out run --precision fp32")
    assert done.code == 0 and said in done.err, done.err
