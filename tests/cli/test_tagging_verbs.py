"""`finetune`, `eval` and `predict` of tags: from column files to entities, and mistakes with their place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Cli
from tiny_tags import tiny_tagged

from bert_cli.cli.app import run as run_command

LEARN = ("--max-length", "32", "--batch-size", "8", "--epochs", "4", "--lr", "3e-3", "--precision", "fp32", "--quiet")


def conll(path: Path, n: int, *, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = ["\n".join(map(" x ".join, zip(*each, strict=True))) for each in tiny_tagged(n, seed=seed)]
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conll")
    conll(folder / "train.conll", 200, seed=1)
    conll(folder / "validation.conll", 24, seed=2)
    return folder


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path, data: Path) -> Path:
    out = tmp_path_factory.mktemp("runs") / "tagger"
    words = ["finetune", "--task", "token-classification", "--model", tiny_bert, "--data", data, "--out", out]
    assert run_command([str(word) for word in (*words, *LEARN)]) == 0
    return out


def test_a_run_is_scored_by_entities_and_its_score_is_repeated(cli: Cli, tagger: Path) -> None:
    recorded = json.loads((tagger / "status.json").read_text())["result"]
    assert recorded["metric"] == "entity_f1"
    found = cli("eval", tagger, "--json").json
    assert found["scores"] == recorded["scores"]["validation"]
    shown = cli("eval", tagger)
    assert "entity_f1_strict" in shown.out and "GOOD" in shown.out and shown.code == 0


def test_a_gate_on_entities_is_missed_with_its_code(cli: Cli, tagger: Path) -> None:
    assert cli("eval", tagger, "--fail-under", "entity_f1=0.1").code == 0
    assert cli("eval", tagger, "--fail-under", "entity_recall=1.0", "--fail-under", "loss=0").code == 6


def test_columns_of_tokens_on_stdin_get_their_tags(cli: Cli, tagger: Path) -> None:
    done = cli("predict", tagger, "-", "--format", "conll", stdin="the\ngood\nbright\nfilm\n\na\ncold\nscore\n")
    one, other = map(json.loads, done.out.splitlines())
    assert one["tokens"] == ["the", "good", "bright", "film"] and one["tags"] == ["O", "B-GOOD", "I-GOOD", "O"]
    assert [(entity["text"], entity["start"], entity["end"]) for entity in one["entities"]] == [("good bright", 4, 15)]
    assert [entity["label"] for entity in other["entities"]] == ["BAD"]


def test_a_text_gets_entities_with_their_characters(cli: Cli, tagger: Path) -> None:
    done = cli("predict", tagger, "-", "--format", "jsonl", stdin='{"text": "The film: GOOD!"}\n')
    (entity,) = json.loads(done.out)["entities"]
    assert (entity["start"], entity["end"], entity["label"], entity["text"]) == (10, 14, "GOOD", "GOOD")
    assert 0 < entity["score"] <= 1


@pytest.mark.parametrize(
    ("line", "code", "found"),
    [("film I-GOOD", "D106", "follows 'O'"), ("film", "D115", "1: film"), ("film B-SONG", "D104", "B-SONG")],
)
def test_a_mistake_in_a_column_file_ends_with_its_line_and_code_3(
    cli: Cli, tiny_bert: Path, line: str, code: str, found: str
) -> None:
    Path("d").mkdir()
    Path("d/train.conll").write_text(f"good B-GOOD\nbright I-GOOD\n\nthe O\n{line}\n\nbad B-GOOD\n", encoding="utf-8")
    labels = "data.labels=[O,B-GOOD,I-GOOD]"
    done = cli("finetune", "--task", "token-classification", "--model", tiny_bert, "--data", "d", labels)
    assert done.code == 3 and not Path("runs").exists()
    (mistake,) = done.mistakes
    assert mistake.startswith(f"error[{code}]") and "train.conll:5" in mistake and len(mistake.splitlines()) <= 6
    assert found in mistake or code == "D104"


def test_another_column_is_learnt_by_its_number(cli: Cli, tiny_bert: Path, data: Path) -> None:
    words = ("finetune", "--task", "token-classification", "--model", tiny_bert, "--dry-run", "--json", "--data")
    chosen = ("data.columns.tags=2", "data.max_length=32")
    refused = cli(*words, data, *chosen)
    assert refused.code == 3 and "D116" in refused.err
    Path("d").mkdir()
    Path("d/train.conll").write_text("good ADJ B-GOOD\nfilm NOUN O\n\nbad ADJ B-BAD\n", encoding="utf-8")
    assert "eval.metric=accuracy" in cli(*words, "d", *chosen).err
    assert cli(*words, "d", *chosen, "eval.metric=accuracy").json["labels"] == ["ADJ", "NOUN"]
