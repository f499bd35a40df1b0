"""What both sides of `squad` are given: a seeded share of SQuAD's paragraphs to learn from, and some others to answer.

Files are those that the public example reads: one object whose `data` are rows of `id`, `question`, `context` and
`answers`, the lists `text` and `answer_start` of which are empty where there is no answer.
"""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SEED = 42
SHARE = 0.8
"""Of the paragraphs, to learn from."""
ANSWERED = 32
"""Paragraphs of the others that are answered after training; all of them would take as long as the training."""

Row = dict[str, Any]


def share_out(file: Path, folder: Path) -> dict[str, int]:
    """Write `train.json` and `validation.json` into `folder`; how many questions each has.

    Args:
        file: SQuAD's nested JSON.
    """
    articles = json.loads(file.read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    random.Random(SEED).shuffle(paragraphs)
    edge = round(SHARE * len(paragraphs))
    parts = {"train": paragraphs[:edge], "validation": paragraphs[edge : edge + ANSWERED]}
    counts = {}
    for name, part in parts.items():
        found = list(rows(part))
        (folder / f"{name}.json").write_text(json.dumps({"data": found}), encoding="utf-8")
        counts[name] = len(found)
    return counts


def rows(paragraphs: Sequence[Row]) -> Iterator[Row]:
    """One row for each question of some paragraphs."""
    for paragraph in paragraphs:
        for asked in paragraph["qas"]:
            columns = {name: [answer[name] for answer in asked["answers"]] for name in ("text", "answer_start")}
            yield {
                "id": asked["id"],
                "question": asked["question"],
                "context": paragraph["context"],
                "answers": columns,
            }
