"""Generated rows of any task, in the columns that it looks for first."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bert_cli.tasks import Task

ROWS = 12
WORDS = ("good", "bad")
_MARKS = {
    "wic": {"start1": 4, "end1": 8, "start2": 4, "end2": 8},
    "cluewsc": {"target": {"span1_text": "the", "span1_index": 0, "span2_text": "film", "span2_index": 4}},
}
_ASKED = {"copa": "cause", "xcopa": "effect"}


def write_task(task: Task, folder: Path) -> Path:
    """A folder with the task's training and validation splits, `ROWS` rows each."""
    if not task.columns:
        return _write_search(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [_named(task, row) for row in _KINDS[task.objective](task)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    for split in [name for name in task.splits if not name.startswith("test")]:
        (folder / f"{task.splits[split][0]}.jsonl").write_text(text, encoding="utf-8")
    return folder


def _named(task: Task, row: dict[str, Any]) -> dict[str, Any]:
    """The row under the columns of its roles."""
    return {task.columns[role][0]: value for role, value in row.items() if role in task.columns}


def _texts(task: Task) -> Iterator[dict[str, Any]]:
    names = task.labels or ("no", "yes")
    low, high = task.score_range or (0.0, 1.0)
    for i in range(ROWS):
        text = f"the film {i} was {WORDS[i % 2]}"
        label = low + (high - low) * (i % 5) / 4 if task.objective == "text-regression" else names[i % len(names)]
        yield dict.fromkeys(task.columns, text) | {"label": label} | _MARKS.get(task.name, {})


def _tags(task: Task) -> Iterator[dict[str, Any]]:
    known = [name for name in task.labels or ("O", "B-FILM") if not name.startswith(("I-", "E-", "S-"))]
    for i in range(ROWS):
        tags = ["O" if "O" in known else known[0], known[i % len(known)], known[0] if "O" not in known else "O"]
        yield {"tokens": ["the", f"film{i}", WORDS[i % 2]], "tags": tags}


def _questions(task: Task) -> Iterator[dict[str, Any]]:
    for i in range(ROWS):
        context = f"the film {i} was {WORDS[i % 2]}"
        answers = {"text": [WORDS[i % 2]], "answer_start": [context.index(WORDS[i % 2])]}
        yield {"id": f"q{i}", "question": f"how was film {i}?", "context": context, "answers": answers}


def _choices(task: Task) -> Iterator[dict[str, Any]]:
    labels: tuple[Any, ...] = ("A", "B") if "answerKey" in task.columns["label"] or task.name == "race" else (0, 1)
    for i in range(ROWS):
        question = _ASKED.get(task.name, f"how was film {i}?")
        yield {"context": f"the film {i}", "question": question, "choices": list(WORDS), "label": labels[i % 2]}


def _compared(task: Task) -> Iterator[dict[str, Any]]:
    low, high = task.score_range or (0.0, 1.0)
    for i in range(ROWS):
        row = {"text": f"the film {i} was good", "text_pair": f"film {i} is {WORDS[i % 2]}"}
        yield row if "label" in task.optional and task.name != "simcse" else row | {"label": high if i % 2 else low}


def _ranked(task: Task) -> Iterator[dict[str, Any]]:
    for i in range(ROWS):
        yield {"text": f"film {i // 2}", "text_pair": f"the film {i} was good", "label": i % 2}


_KINDS: dict[str, Callable[[Task], Iterator[dict[str, Any]]]] = {
    "text-classification": _texts,
    "multi-label-classification": _texts,
    "text-regression": _texts,
    "token-classification": _tags,
    "question-answering": _questions,
    "multiple-choice": _choices,
    "sentence-similarity": _compared,
    "text-ranking": _ranked,
}


def _write_search(folder: Path) -> Path:
    """A corpus, queries and judgements in the layout of BEIR."""
    judged = folder / "qrels"
    judged.mkdir(parents=True)
    for name, letter, text in (("corpus", "d", "a text about film {}"), ("queries", "q", "film {}")):
        rows = [{"_id": f"{letter}{i}", "text": text.format(i)} for i in range(ROWS)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    for split, queries in (("train", range(8)), ("dev", range(8, ROWS)), ("test", range(8, ROWS))):
        lines = "".join(f"q{i}\td{i}\t1\n" for i in queries)
        (judged / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}", encoding="utf-8")
    return folder
