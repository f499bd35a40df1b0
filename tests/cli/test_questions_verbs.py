"""Questions as a user types them: a run, its score, its predictions, a dry run, and mistakes with their codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import Cli
from tiny_questions import flat, nested, tiny_paragraphs, tiny_squad, write_json, write_rows

FLAGS = ("--max-length", "24", "--batch-size", "16", "--epochs", "1", "--precision", "fp32", "--quiet")
TASK = ("finetune", "--task", "question-answering", "--data", "d", "--out", "run", "--json", *FLAGS)


def test_a_run_is_scored_and_predicts_from_standard_input(cli: Cli, tiny_bert: Path) -> None:
    tiny_squad(Path("d"), 8, 4)
    result = cli(*TASK, "--model", tiny_bert, "data.stride=6")
    assert result.code == 0, result.err
    recorded = result.json["scores"]["validation"]
    scored = cli("eval", "run", "--json", "--fail-under", "answer_f1=0.0")
    assert (scored.code, scored.json["scores"], scored.json["n"]) == (0, recorded, 12)
    assert scored.json["report"]["no_answer"]["n"] == 4
    text = json.dumps({"question": "plot ?", "context": "the plot is dull . the cast is great ."})
    predicted = cli("predict", "run", "--format", "jsonl", "--threshold", "1.0", stdin=text)
    assert predicted.code == 0, predicted.err
    found = json.loads(predicted.out)
    assert found["answer"] == "the plot is dull . the cast is great ."[found["start"] : found["end"]] != ""
    silent = cli("predict", "run", "--format", "jsonl", "--threshold", "0.0", stdin=text)
    assert json.loads(silent.out)["answer"] == ""


def test_predict_reads_columns_of_other_names(cli: Cli, tiny_bert: Path) -> None:
    tiny_squad(Path("d"), 4, 2)
    assert cli(*TASK, "--model", tiny_bert).code == 0
    write_rows(Path("in.jsonl"), [{"ask": "plot ?", "body": "the plot is dull ."}])
    refused = cli("predict", "run", "in.jsonl")
    assert refused.code == 3 and "D096" in refused.err and "in.jsonl:1" in refused.err
    found = cli("predict", "run", "in.jsonl", "--column", "question=ask", "--column", "context=body")
    assert found.code == 0 and json.loads(found.out)["question"] == "plot ?"


def test_a_dry_run_counts_windows_and_leaves_nothing(cli: Cli, tiny_bert: Path) -> None:
    tiny_squad(Path("d"), 8, 4)
    plan = cli(*TASK, "--model", tiny_bert, "--dry-run")
    assert plan.code == 0, plan.err
    assert plan.json["splits"]["train"]["rows"] > 0 and not Path("run").exists()


def broken(change: Any) -> Any:
    value = nested(tiny_paragraphs(6))
    change(value["data"][1]["paragraphs"][0]["qas"][1])
    return value


MISTAKES = {
    "no context": (lambda qa: qa.update(context=""), "D124"),
    "no question": (lambda qa: qa.pop("question"), "D040"),
    "an answer that is a number": (lambda qa: qa.update(answers=[7]), "D121"),
    "an answer and impossible": (lambda qa: qa.update(is_impossible=True), "D123"),
    "an id twice": (lambda qa: qa.update(id="0-0-0"), "D126"),
    "null answers": (lambda qa: qa.update(answers=None), "D127"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_in_nested_files_end_with_their_path(cli: Cli, tiny_bert: Path, name: str) -> None:
    change, code = MISTAKES[name]
    write_json(Path("d/train.json"), broken(change))
    done = cli(*TASK, "--model", tiny_bert)
    assert done.code == 3
    assert done.mistakes[0].startswith(f"error[{code}]"), done.err
    assert "train.json: data[1].paragraphs[0].qas[1]" in done.err
    assert not Path("run").exists()


def test_offsets_that_are_wrong_everywhere_are_refused_and_some_are_told(cli: Cli, tiny_bert: Path) -> None:
    rows = flat(tiny_paragraphs(6, impossible=False))
    rows[4]["answers"]["answer_start"] = [999]
    write_rows(Path("d/train.jsonl"), rows)
    done = cli(*[word for word in TASK if word != "--quiet"], "--model", tiny_bert, "--overwrite")
    assert done.code == 0
    assert "1 of 18 answers do not stand where answer_start says (first: train.jsonl:5)" in done.err
    write_rows(Path("d/train.jsonl"), [{**row, "answers": {"text": ["nowhere"], "answer_start": [0]}} for row in rows])
    done = cli(*TASK, "--model", tiny_bert, "--overwrite")
    assert done.code == 3 and "error[D128]" in done.err


@pytest.mark.parametrize(
    ("override", "code"), [("data.stride=23", "D118"), ("data.columns.text=a", "U063"), ("eval.metric=f1", "M002")]
)
def test_a_recipe_that_cannot_be_obeyed_is_refused(cli: Cli, tiny_bert: Path, override: str, code: str) -> None:
    tiny_squad(Path("d"), 4, 2)
    done = cli(*TASK, "--model", tiny_bert, override)
    assert done.code == 2 and f"error[{code}]" in done.err
