"""docs/tasks.md is true: its commands run, its examples are read, its names exist."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_model

from bert_cli.cli.app import run as run_command
from bert_cli.recipe.keys import known_keys
from bert_cli.tasks import all_tasks
from bert_cli.tasks.base import MINIMAL_PAIRS, PRETRAINING

GUIDE = (Path(__file__).parents[1] / "docs" / "tasks.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"^```console\n(.*?)^```$", GUIDE, re.M | re.S) for line in block.splitlines()]
EXAMPLES = [
    json.loads(line) for block in re.findall(r"^```json\n(.*?)^```$", GUIDE, re.M | re.S) for line in block.splitlines()
]
QUICK = ["--epochs", "1", "--batch-size", "4", "--precision", "fp32", "--max-length", "32", "--quiet", "--offline"]


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / name).write_text(text, encoding="utf-8")


def example(role: str) -> dict[str, Any]:
    return next(row for row in EXAMPLES if role in row)


def write_data(root: Path) -> None:
    """The folders that the guide's words name, its own examples among their rows."""
    tagged = [example("tokens"), {"tokens": ["it", "rains"], "tags": ["O", "O"]}]
    asked = [example("context"), {**example("context"), "question": "Who lives in Rome?"}]
    asked[1]["answers"] = {"text": ["Anna"], "answer_start": [0]}
    chosen = [example("choices"), {"question": "What is hot?", "choices": ["ice", "fire", "snow"], "label": 1}]
    pairs = [{"text": f"film {i}", "text_pair": f"a film called {i}"} for i in range(8)]
    for name, rows in {"names": tagged, "questions": asked, "choices": chosen, "pairs": pairs}.items():
        write(root / name, "train.jsonl", rows * 2)
        write(root / name, "validation.jsonl", rows)
    write(root, "new-questions.jsonl", [{"question": "Where?", "context": "Anna lives in Rome."}])
    reviews = [{"text": f"film {i} is {word}", "label": word} for i in range(8) for word in ("good", "bad")]
    write(root / "reviews", "train.jsonl", reviews)
    write(root / "reviews", "validation.jsonl", [{"text": f"{word}!", "label": word} for word in ("good", "bad")])
    write(root / "search", "corpus.jsonl", [{"_id": f"d{i}", "text": f"a film called {i}"} for i in range(8)])
    write(root / "search", "queries.jsonl", [{"_id": f"q{i}", "text": f"film {i}"} for i in range(8)])
    (root / "search" / "qrels").mkdir()
    for split, queries in (("train", range(5)), ("dev", range(5, 8))):
        table = "query-id\tcorpus-id\tscore\n" + "".join(f"q{i}\td{i}\t1\n" for i in queries)
        (root / "search" / "qrels" / f"{split}.tsv").write_text(table, encoding="utf-8")


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The commands of the guide, carried out in one folder and in its order, with a tiny encoder."""
    folder = tmp_path_factory.mktemp("guide")
    write_data(folder)
    encoder = tiny_model(folder / "encoder")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in COMMANDS:
            given, _, after = command.rpartition("| ")
            words = shlex.split(after or command)[1:]
            if words[0] == "finetune":
                words += ["--model", str(encoder), *QUICK]
            if given:
                typed = " ".join(shlex.split(given)[1:]) + "\n"
                patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode()), encoding="utf-8"))
            found[command] = run_command(words)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_guide_works(command: str, codes: dict[str, int]) -> None:
    assert codes[command] == 0


def test_the_guide_lists_every_kind_of_task() -> None:
    kinds = {task.objective for task in all_tasks().values()} - {*PRETRAINING, MINIMAL_PAIRS}
    assert set(re.findall(r"^\| `([\w-]+)` \|", GUIDE, re.M)) == kinds


def test_the_guide_names_keys_and_tasks_that_there_are() -> None:
    sections = {name.partition(".")[0] for name in known_keys().fields} - {"task"}
    keys = {key for key in re.findall(r"`(\w+\.\w+)(?:=[^`]*)?`", GUIDE) if key.partition(".")[0] in sections}
    assert len(keys) >= 6
    assert keys <= set(known_keys().fields)
    assert set(re.findall(r"--task ([\w-]+)", GUIDE)) <= set(all_tasks())
